package integration_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/dhcpd"
	"github.com/podlan/podlan/integration/lab"
)

// trap is an address that only lies grant.
func trap() dhcpd.Change { return dhcpd.Granting(netip.MustParseAddr("198.18.66.66")) }

func rogue() netip.Addr { return netip.MustParseAddr("198.18.66.1") }

// manyRoutes is an option 121 of 130 routes, in five parts (RFC 3396): about as
// much as fits into a frame.
func manyRoutes() []byte { return dhcpd.ClasslessRoutes(130, netip.MustParseAddr("198.18.0.1")) }

func TestAnADDOutlivesWhatAServerDoesWrong(t *testing.T) {
	t.Parallel()
	const offer, ack = dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeAck
	lan := newFaultyLAN(t)
	before := lan.node.Snapshot()
	both := func(on picker, lies ...dhcpd.Change) {
		lie := dhcpd.Alter(append(lies, trap())...)
		on().Answer(lie, dhcpd.Regularly)
	}
	victims := lan.suffer(t, map[string]fault{
		"silent at first":             func(on picker) { on(dhcpd.Times(1)).Answer(dhcpd.Silent()) },
		"silent to a REQUEST":         func(on picker) { on(dhcpd.Selecting, dhcpd.Times(1)).Answer(dhcpd.Silent()) },
		"slow":                        func(on picker) { on().Answer(dhcpd.Slow(time.Second)) },
		"slower than a try":           func(on picker) { on(dhcpd.Discovering, dhcpd.Times(1)).Answer(dhcpd.Slow(6 * time.Second)) },
		"NAK in SELECTING":            func(on picker) { on(dhcpd.Discovering).Answer(dhcpd.NAK, dhcpd.Regularly) },
		"NAK in REQUESTING, twice":    func(on picker) { on(dhcpd.Selecting, dhcpd.Times(2)).Answer(dhcpd.NAK) },
		"another's NAK in REQUESTING": func(on picker) { on(dhcpd.Selecting).Answer(dhcpd.NAKBy(rogue()), dhcpd.Regularly) },
		"a NAK after the ACK": func(on picker) {
			on(dhcpd.Selecting).Answer(dhcpd.Regularly, dhcpd.NAKBy(lan.server.Addr()))
		},
		"everything fourfold": func(on picker) { on().Answer(dhcpd.Duplicate(3)) },
		"a late OFFER, of the REQUEST's transaction": func(on picker) {
			on(dhcpd.Selecting).Answer(dhcpd.Alter(dhcpd.As(offer), trap()), dhcpd.Regularly)
		},
		"the ACK before its OFFER": func(on picker) {
			on(dhcpd.Discovering).Answer(dhcpd.Alter(dhcpd.As(ack)), dhcpd.Regularly)
		},
		"of another transaction": func(on picker) { both(on, dhcpd.OfAnotherTransaction) },
		"to another chaddr":      func(on picker) { both(on, dhcpd.ToAnotherClient) },
		"to another client-id":   func(on picker) { both(on, dhcpd.EchoingAnotherID) },
		"another's ACK": func(on picker) {
			on(dhcpd.Selecting).Answer(dhcpd.Alter(dhcpd.ByServer(rogue()), trap()), dhcpd.Regularly)
		},
		"without a lease time":       func(on picker) { both(on, dhcpd.Without(51)) },
		"a lease of 0 s":             func(on picker) { both(on, dhcpd.Lasting(0, 0, 0)) },
		"without its server's name":  func(on picker) { both(on, dhcpd.Without(54)) },
		"cut off at every length":    func(on picker) { on().Answer(dhcpd.CutShort(dhcpd.Until(54)), dhcpd.Slow(time.Second)) },
		"without END":                func(on picker) { on().Answer(dhcpd.Written(dhcpd.Endless)) },
		"an option without its end":  func(on picker) { on().Answer(dhcpd.Written(dhcpd.Overrunning)) },
		"overloaded":                 func(on picker) { on().Answer(dhcpd.Written(dhcpd.Overloaded)) },
		"options longer than 255":    func(on picker) { on().Answer(dhcpd.Alter(dhcpd.With(121, manyRoutes()...))) },
		"an infinite lease":          func(on picker) { on().Answer(dhcpd.Alter(dhcpd.Lasting(dhcpd.Forever, 0, 0))) },
		"T1 after T2":                func(on picker) { on().Answer(dhcpd.Alter(dhcpd.Lasting(3600, 3000, 2000))) },
		"T2 after the lease's end":   func(on picker) { on().Answer(dhcpd.Alter(dhcpd.Lasting(3600, 5000, 4000))) },
		"a FORCERENEW after the ACK": func(on picker) { on(dhcpd.Selecting).Answer(dhcpd.Regularly, dhcpd.Alter(dhcpd.As(dhcpd.ForceRenew))) },
	})
	for name, v := range victims {
		t.Run(name, v.servesItsLease)
	}
	t.Run("and podland tells it as it is", func(t *testing.T) { lan.tells(t, victims) })
	lan.leavesNothing(t, victims, before)
}

// tells checks what podland tells of leases whose terms the server had changed.
func (lan faultyLAN) tells(t *testing.T, victims map[string]*victim) {
	t.Helper()
	for _, name := range []string{"T1 after T2", "T2 after the lease's end"} {
		if l, err := victims[name].lease(t); err != nil || !l.RenewAt.Before(l.RebindAt) || !l.RebindAt.Before(l.ExpiresAt) {
			t.Errorf("%s: renewed at %s, rebound at %s, over at %s", name, l.RenewAt, l.RebindAt, l.ExpiresAt)
		}
	}
	if l, err := victims["an infinite lease"].lease(t); err != nil || !l.RenewAt.IsZero() || !l.ExpiresAt.IsZero() {
		t.Errorf("an infinite lease is renewed at %s and over at %s", l.RenewAt, l.ExpiresAt)
	}
	for _, e := range lan.server.Received(dhcpv4.MessageTypeRequest) {
		if e.CIAddr.IsValid() {
			t.Errorf("renewed far before T1: %+v", e)
		}
	}
	if l, err := victims["options longer than 255"].lease(t); err != nil || len(l.Routes) != 131 {
		t.Errorf("%d routes, want the server's 131", len(l.Routes))
	}
}

// failing are faults that no ADD outlives, and what its error says of each,
// separated by |.
type failing map[string]struct {
	fault fault
	words string
}

func TestAnADDThatGetsNoLeaseSaysWhatItSawAndLeavesNothing(t *testing.T) {
	t.Parallel()
	always := func(lies ...dhcpd.Change) fault {
		return func(on picker) { on().Answer(dhcpd.Alter(lies...)) }
	}
	// Apart, because refusals make podland ask for fewer at a time.
	groups := map[string]failing{
		"no answer": {
			"silent":              {func(on picker) { on().Answer(dhcpd.Silent()) }, "no DHCPOFFER on eth1|DISCOVER sent|carrier up|0 frames"},
			"slower than the ADD": {func(on picker) { on().Answer(dhcpd.Slow(20 * time.Second)) }, "no DHCPOFFER on eth1"},
			"grants too late":     {func(on picker) { on(dhcpd.Selecting).Answer(dhcpd.Slow(12 * time.Second)) }, "no DHCPACK on eth1"},
		},
		"refusals": {
			"NAK in SELECTING":  {func(on picker) { on(dhcpd.Discovering).Answer(dhcpd.NAK) }, "no DHCPOFFER on eth1"},
			"NAK in REQUESTING": {func(on picker) { on(dhcpd.Selecting).Answer(dhcpd.NAK) }, `DHCPNAK, the last: server 198.18.0.1 refused it (DHCPNAK, "refused by script")`},
		},
		"for somebody else": {
			"another transaction's": {always(dhcpd.OfAnotherTransaction), "no DHCPOFFER on eth1"},
			"another chaddr's":      {always(dhcpd.ToAnotherClient), "no DHCPOFFER on eth1|0 frames"},
			"another client-id's":   {always(dhcpd.EchoingAnotherID), "refused: DHCPOFFER: it echoes another client-id"},
		},
		"of no use": {
			"without a lease time":      {always(dhcpd.Without(51)), "refused: DHCPOFFER: no lease time (option 51)"},
			"a lease of 0 s":            {always(dhcpd.Lasting(0, 0, 0)), "refused: DHCPOFFER: no lease time (option 51), or one of 0 s"},
			"without its server's name": {always(dhcpd.Without(54)), "refused: DHCPOFFER: no server identifier (option 54)"},
			"no host's address":         {always(dhcpd.Granting(netip.MustParseAddr("127.0.0.7"))), "refused: DHCPOFFER: 127.0.0.7 is no address for a host"},
			"cut off at every length":   {func(on picker) { on().Answer(dhcpd.CutShort(dhcpd.Until(54))) }, "no DHCPOFFER on eth1"},
		},
	}
	for name, cases := range groups {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cases.fail(t)
		})
	}
}

func (cases failing) fail(t *testing.T) {
	t.Helper()
	lan := newFaultyLAN(t)
	before := lan.node.Snapshot()
	faults := map[string]fault{}
	for name, c := range cases {
		faults[name] = c.fault
	}
	victims := lan.suffer(t, faults, object{"budget": "10s"})
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			says(t, victims[name].err, types.ErrTryAgainLater, strings.Split(c.words, "|")...)
		})
	}
	lan.leavesNothing(t, victims, before) // what was granted too late, too
}

// A given-up REQUEST is listened for, so that the node is not as before for a
// while: its uplink stays promiscuous.
func TestAnADDWhoseREQUESTNobodyAnswersLeavesNoLease(t *testing.T) {
	t.Parallel()
	lan := newFaultyLAN(t)
	v := lan.victim("deaf", object{"budget": "10s"})
	v.on(dhcpd.Selecting).Answer(dhcpd.Silent())
	v.attach(t.Context())
	says(t, v.err, types.ErrTryAgainLater, "no DHCPACK on eth1", "REQUEST sent")
	if err := lan.server.AwaitType(t.Context(), dhcpv4.MessageTypeRelease, 1); err != nil {
		t.Error(err) // it may have been granted
	}
	if held := leasesOf(t, lan.node); len(held) > 0 {
		t.Errorf("podland holds %v", held)
	}
	lan.server.SetScript(nil)
	v.attach(t.Context())
	v.servesItsLease(t)
	lan.isUnharmed(t)
}

// Where frames are larger there is room for more routes than a Pod is given.
func TestAServerCannotFillAPodWithRoutes(t *testing.T) {
	t.Parallel()
	const jumbo = 9000
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded, DHCPOptions: map[uint8][]byte{
		121: dhcpd.ClasslessRoutes(1000, netip.MustParseAddr("198.18.0.1")),
	}}))
	lan := faultyLANOn(l, lab.NodeOptions{Bridge: "lan0", MTU: jumbo})
	setMTU(t, l.Switch(), l.Server().Host.SwitchPort, jumbo)
	setMTU(t, l.Server().Host.Netns, "eth0", jumbo)
	v := lan.victim("routed")
	v.attach(t.Context())
	v.servesItsLease(t)
	if got := len(v.result.Routes); got != 256 {
		t.Errorf("%d routes in the Pod, want 256", got)
	}
	lan.givesBack(t, map[string]*victim{"": v})
}

func TestAnADDInAFullPoolFailsUntilAnAddressIsFree(t *testing.T) {
	t.Parallel()
	for name, full := range map[string]dhcpd.Script{
		"silent": dhcpd.Regularly, // RFC 2131 §4.3.1
		"NAK":    dhcpd.RegularlyOrNAK,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lan := newFaultyLAN(t)
			lan.server.On(dhcpd.Discovering).Answer(full)
			rerange(t, lan.server, "198.18.4.0/16", "198.18.4.1")
			given := manyPods(t, lan.node, network(lan.node, leased()), 2)
			v := lan.victim("third", object{"budget": "3s"})
			v.attach(t.Context())
			says(t, v.err, types.ErrTryAgainLater, "no DHCPOFFER on eth1")
			for _, addr := range given.addrs {
				reaches(t, lan.client, addr)
			}
			detach(t, lan.node, network(lan.node, leased()), given.pods[0])
			awaitNoLease(t, lan.Server(), given.addrs[0])
			v.attach(t.Context())
			v.servesItsLease(t)
			lan.isUnharmed(t)
		})
	}
}

func setMTU(t *testing.T, in *lab.Netns, name string, mtu int) {
	t.Helper()
	h, err := in.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.LinkSetMTU(link(t, in, name), mtu); err != nil {
		t.Fatal(err)
	}
}
