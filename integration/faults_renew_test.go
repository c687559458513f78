package integration_test

import (
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/dhcpd"
)

// soon has the first lease of a client renewed after 2 s, and not rebound in the
// test's time.
func soon(on picker) {
	on(dhcpd.Selecting).Answer(dhcpd.Alter(dhcpd.Lasting(3600, 2, 3000)))
}

// shortly has the first lease of a client renewed after 2 s and rebound after
// 4 s; it is not over for an hour.
func shortly(on picker) {
	on(dhcpd.Selecting).Answer(dhcpd.Alter(dhcpd.Lasting(3600, 2, 4)))
}

// brief has the first lease of a client over after 6 s as well.
func brief(on picker) {
	on(dhcpd.Selecting).Answer(dhcpd.Alter(dhcpd.Lasting(6, 2, 4)))
}

// after combines a lease's length with a fault.
func (f fault) after(lasting fault) fault {
	return func(on picker) {
		lasting(on)
		f(on)
	}
}

// renewals are the REQUESTs of a kind that the server saw from the victim.
func (v *victim) renewals(kind dhcpd.Condition) []dhcpd.Entry {
	var seen []dhcpd.Entry
	for _, e := range v.lan.server.Received(dhcpv4.MessageTypeRequest) {
		if e.MAC.String() == v.mac.String() && kind(dhcpd.Request{Entry: e}) {
			seen = append(seen, e)
		}
	}
	return seen
}

func TestALeaseIsExtendedWhateverAServerDoesWrong(t *testing.T) {
	t.Parallel()
	lan := newFaultyLAN(t)
	// What a server lies at T1 costs nothing; at T2 another may be true.
	atT1 := func(answers ...dhcpd.Script) fault {
		return func(on picker) { on(dhcpd.Renewing).Answer(answers...) }
	}
	lie := func(changes ...dhcpd.Change) fault { return atT1(dhcpd.Alter(changes...)) }
	cases := map[string]struct {
		fault   fault
		rebound bool // the server at T1 was of no use
	}{
		"regular":                   {func(picker) {}, false},
		"slow":                      {atT1(dhcpd.Slow(time.Second)), false},
		"everything fourfold":       {atT1(dhcpd.Duplicate(3)), false},
		"another's NAK first":       {atT1(dhcpd.NAKBy(rogue()), dhcpd.Regularly), false},
		"only another's NAK":        {atT1(dhcpd.NAKBy(rogue())), true},
		"a FORCERENEW after it":     {atT1(dhcpd.Regularly, dhcpd.Alter(dhcpd.As(dhcpd.ForceRenew))), false},
		"a NAK after the ACK":       {atT1(dhcpd.Regularly, dhcpd.NAKBy(lan.server.Addr())), false},
		"an OFFER instead":          {lie(dhcpd.As(dhcpv4.MessageTypeOffer)), true},
		"silent":                    {atT1(dhcpd.Silent()), true},
		"of another transaction":    {lie(dhcpd.OfAnotherTransaction), true},
		"to another client-id":      {lie(dhcpd.EchoingAnotherID), true},
		"without a lease time":      {lie(dhcpd.Without(51)), true},
		"a lease of 0 s":            {lie(dhcpd.Lasting(0, 0, 0)), true},
		"without its server's name": {lie(dhcpd.Without(54)), true},
		"cut off at every length":   {atT1(dhcpd.CutShort(dhcpd.Until(54))), true},
		"overloaded":                {atT1(dhcpd.Written(dhcpd.Overloaded)), false},
		"without END":               {atT1(dhcpd.Written(dhcpd.Endless)), false},
		"options longer than 255":   {lie(dhcpd.With(121, manyRoutes()...)), false},
		"T1 after T2":               {lie(dhcpd.Lasting(7200, 7000, 6000)), false},
		"another mask":              {lie(dhcpd.With(1, 255, 255, 254, 0)), false},
		"another router":            {lie(dhcpd.With(3, rogue().AsSlice()...)), false},
		"no router any more":        {lie(dhcpd.Without(3)), false},
	}
	faults := map[string]fault{}
	for name, c := range cases {
		faults[name] = c.fault.after(shortly)
	}
	victims := lan.suffer(t, faults)
	for name, c := range cases {
		v := victims[name]
		t.Run(name, func(t *testing.T) {
			v.awaitLease(t, "the lease is extended", isExtended)
			v.servesItsLease(t)
			if asked, again := v.renewals(dhcpd.Renewing), v.renewals(dhcpd.Rebinding); len(asked) != 1 || (len(again) == 1) != c.rebound {
				t.Errorf("renewed by %v, rebound by %v", asked, again)
			}
		})
	}
	lan.givesBack(t, victims)
}

func TestALeaseOfASecondIsRenewedTimeAndAgain(t *testing.T) {
	t.Parallel()
	lan := newFaultyLAN(t)
	lift := func() {}
	victims := lan.suffer(t, map[string]fault{"a second": func(on picker) {
		lift = on().Answer(dhcpd.Alter(dhcpd.Lasting(1, 0, 0)))
	}})
	v := victims["a second"]
	if v.err != nil {
		t.Fatal(v.err)
	}
	err := lan.server.Await(t.Context(), func([]dhcpd.Entry) bool { return len(v.renewals(dhcpd.Renewing)) >= 4 })
	if err != nil {
		t.Fatal(err)
	}
	lift()
	v.awaitLease(t, "a lease that lasts", isExtended)
	v.servesItsLease(t)
	lan.givesBack(t, victims)
}

// then answers, and has other messages answered otherwise from then on.
func then(answer dhcpd.Script, later dhcpd.Case, otherwise dhcpd.Script) dhcpd.Script {
	return func(req dhcpd.Request) ([]dhcpd.Reply, bool) {
		later.Answer(otherwise)
		return answer(req)
	}
}

// thenDeaf answers, and DISCOVERs from then on with silence.
func thenDeaf(on picker, answer dhcpd.Script) dhcpd.Script {
	return then(answer, on(dhcpd.Discovering), dhcpd.Silent())
}

// losing are faults that cost a lease, and what is wanted then.
type losing map[string]struct {
	lasting, fault fault
	why            string
	known          int // leases that the server believes in
}

func TestALostLeaseCutsThePodOffUntilItsAddressIsGrantedAgain(t *testing.T) {
	t.Parallel()
	const refused = `refused it (DHCPNAK, "refused by script")`
	atT1 := func(answer func(on picker) dhcpd.Script) fault {
		return func(on picker) { on(dhcpd.Renewing).Answer(answer(on)) }
	}
	atT2 := func(answer dhcpd.Script) fault {
		return func(on picker) {
			on(dhcpd.Renewing).Answer(dhcpd.Silent())
			on(dhcpd.Rebinding).Answer(thenDeaf(on, answer))
		}
	}
	// Apart: what is not answered takes room on the segment from what is due.
	groups := map[string]losing{
		"in RENEWING": {
			"NAK":             {soon, atT1(func(on picker) dhcpd.Script { return thenDeaf(on, dhcpd.NAK) }), refused, 0},
			"another address": {soon, atT1(func(on picker) dhcpd.Script { return thenDeaf(on, dhcpd.Alter(trap())) }), "granted 198.18.66.66 instead of", 1},
			"NAK, then other addresses": {soon, atT1(func(on picker) dhcpd.Script {
				return then(dhcpd.NAK, on(dhcpd.Discovering), dhcpd.Alter(trap()))
			}), refused, 0},
			"NAK, then NAKs": {soon, atT1(func(on picker) dhcpd.Script {
				return then(dhcpd.NAK, on(dhcpd.Selecting), dhcpd.NAK)
			}), refused, 0},
		},
		"in REBINDING": {
			"NAK":                        {shortly, atT2(dhcpd.NAK), refused, 0},
			"another's NAK":              {shortly, atT2(dhcpd.NAKBy(rogue())), "server " + rogue().String() + " " + refused, 1},
			"silent for the whole lease": {brief, atT2(dhcpd.Silent()), "the lease ran out", 1},
		},
	}
	for name, cases := range groups {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cases.lose(t)
		})
	}
}

func (cases losing) lose(t *testing.T) {
	t.Helper()
	lan := newFaultyLAN(t)
	before := lan.node.Snapshot()
	faults := map[string]fault{}
	for name, c := range cases {
		faults[name] = c.fault.after(c.lasting)
	}
	victims := lan.suffer(t, faults)
	for name, c := range cases {
		v := victims[name]
		t.Run(name, func(t *testing.T) {
			v.isCutOff(t, c.why)
			if got := v.atServer(); len(got) != c.known {
				t.Errorf("the server's leases: %v, want %d", got, c.known)
			}
		})
	}
	lan.isUnharmed(t)
	lan.server.SetScript(nil)
	for name, v := range victims {
		t.Run(name+", and back", v.isBack)
	}
	lan.leavesNothing(t, victims, before)
}
