package dhcp4_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/dhcp4"
)

func TestALeaseCountsFromWhenItsRequestWasSent(t *testing.T) {
	c := dhcp4.New(params(), rng())
	c.Start(boot)
	asked := boot + 3*time.Second
	c.Handle(asked, offer(t, c, generous()))
	c.Tick(c.Deadline()) // the REQUEST again: nobody knows which one is answered
	out := c.Handle(c.Deadline()-1, ack(t, c, generous()))

	got, ok := c.Lease()
	if !ok || out.Change != dhcp4.Granted || c.State() != dhcp4.Bound {
		t.Fatalf("no lease: %+v in %s", out, c.State())
	}
	want := dhcp4.Lease{
		Address: netip.PrefixFrom(leased(), 24), Server: serverIP(), ServerMAC: serverMAC(),
		Router: netip.MustParseAddr("192.0.2.254"),
		Routes: []dhcp4.Route{{
			Dst: netip.MustParsePrefix("0.0.0.0/0"), GW: netip.MustParseAddr("192.0.2.254"),
		}},
		Acquired: asked, T1: got.T1, T2: got.T2, Expiry: asked + time.Hour,
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("lease (-want +got):\n%s", diff)
	}
	if early := asked + time.Hour/2 - got.T1; early < 0 || early > 3*time.Minute {
		t.Errorf("T1 comes %s before half the lease, 0 to 10 %% wanted", early)
	}
	if early := asked + time.Hour/8*7 - got.T2; early < 0 || early > (time.Hour/8*7-time.Hour/2)/10 {
		t.Errorf("T2 comes %s before 0.875 of the lease, 0 to 10 %% of what lies after T1 wanted", early)
	}
	if c.Deadline() != got.T1 || c.Waiting() {
		t.Errorf("deadline %s, waiting %v: T1 at %s and no exchange wanted", c.Deadline(), c.Waiting(), got.T1)
	}
}

func TestDiscoverIsSentAgainAfter4To64Seconds(t *testing.T) {
	c := dhcp4.New(params(), rng())
	first := sent(t, only(t, c.Start(boot)))
	now, lastSecs := boot, first.NumSeconds
	if lastSecs < 1 {
		t.Errorf("secs is %d, at least 1 wanted", lastSecs)
	}
	for _, want := range []int{4, 8, 16, 32, 64, 64, 64} {
		wait := c.Deadline() - now
		if off := (wait - time.Duration(want)*time.Second).Abs(); off > time.Second {
			t.Errorf("waits %s, %d s give or take one wanted", wait, want)
		}
		if out := c.Tick(c.Deadline() - 1); len(out.Send) != 0 {
			t.Error("something is sent before the deadline")
		}
		now = c.Deadline()
		m := sent(t, only(t, c.Tick(now)))
		if m.NumSeconds <= lastSecs && lastSecs > 1 {
			t.Errorf("secs went from %d to %d", lastSecs, m.NumSeconds)
		}
		if m.TransactionID != first.TransactionID {
			t.Error("a retransmission has another xid")
		}
		lastSecs = m.NumSeconds
	}
}

func TestAnUnansweredRequestLeadsBackToDiscover(t *testing.T) {
	c, _ := in(t, dhcp4.Requesting)
	old := c.XID()
	for range 2 {
		if got := only(t, c.Tick(c.Deadline())).Type; got != dhcpv4.MessageTypeRequest {
			t.Fatalf("%s sent, REQUEST wanted", got)
		}
	}
	if got := only(t, c.Tick(c.Deadline())).Type; got != dhcpv4.MessageTypeDiscover {
		t.Errorf("%s sent, DISCOVER wanted", got)
	}
	if c.XID() == old {
		t.Error("the new transaction has the old one's number")
	}
}

func TestOffersThatCannotBeUsedAreRefusedWithTheReason(t *testing.T) {
	for name, tc := range map[string]struct {
		addr netip.Addr
		opts options
	}{
		"no server identifier":          {leased(), generous().with(54, nil)},
		"server identifier of zeros":    {leased(), generous().with(54, make([]byte, 4))},
		"no lease time":                 {leased(), generous().with(51, nil)},
		"lease time of zero":            {leased(), generous().with(51, make([]byte, 4))},
		"lease time of three bytes":     {leased(), generous().with(51, []byte{1, 2, 3})},
		"mask with holes":               {leased(), generous().with(1, b4("255.0.255.0"))},
		"mask of zeros":                 {leased(), generous().with(1, b4("0.0.0.0"))},
		"no address":                    {netip.IPv4Unspecified(), generous()},
		"multicast address":             {netip.MustParseAddr("224.0.0.9"), generous()},
		"loopback address":              {netip.MustParseAddr("127.0.0.9"), generous()},
		"link-local address":            {netip.MustParseAddr("169.254.1.1"), generous()},
		"class E address":               {netip.MustParseAddr("250.0.0.1"), generous()},
		"the subnet's broadcast":        {netip.MustParseAddr("192.0.2.255"), generous()},
		"the subnet's own address":      {netip.MustParseAddr("192.0.2.0"), generous()},
		"another client-id (RFC 6842)":  {leased(), generous().with(61, []byte{1, 1})},
		"an empty client-id (RFC 6842)": {leased(), generous().with(61, []byte{})},
	} {
		t.Run(name, func(t *testing.T) {
			c, now := in(t, dhcp4.Selecting)
			out := c.Handle(now, answer(t, c, dhcpv4.MessageTypeOffer, tc.addr, tc.opts))
			if len(out.Send) != 0 || c.State() != dhcp4.Selecting {
				t.Errorf("taken: %s", c.State())
			}
			if c.Counts().Refused == nil {
				t.Error("no reason is told")
			}
		})
	}
}

func TestRepliesOfOthersChangeNothing(t *testing.T) {
	for name, alter := range map[string]func(*dhcp4.Reply){
		"another transaction": func(r *dhcp4.Reply) { r.XID++ },
		"another MAC":         func(r *dhcp4.Reply) { r.Client[5]++ },
		"an ACK unasked":      func(r *dhcp4.Reply) { r.Type = dhcpv4.MessageTypeAck },
		"a NAK unasked":       func(r *dhcp4.Reply) { r.Type = dhcpv4.MessageTypeNak },
		"a FORCERENEW":        func(r *dhcp4.Reply) { r.Type = 9 },
	} {
		t.Run(name, func(t *testing.T) {
			c, now := in(t, dhcp4.Selecting)
			r := offer(t, c, generous())
			alter(&r)
			if out := c.Handle(now, r); len(out.Send) != 0 || out.Change != dhcp4.Unchanged || c.State() != dhcp4.Selecting {
				t.Errorf("changed: %+v, %s", out, c.State())
			}
		})
	}
}

func TestARequestIsAnsweredOnlyByTheServerThatWasChosen(t *testing.T) {
	other := generous().with(54, b4("192.0.2.2"))
	c, now := in(t, dhcp4.Requesting)
	for _, r := range []dhcp4.Reply{ack(t, c, other), nak(t, c, other), offer(t, c, other)} {
		if out := c.Handle(now, r); out.Change != dhcp4.Unchanged || c.State() != dhcp4.Requesting {
			t.Fatalf("another server's %s was taken: %s", r.Type, c.State())
		}
	}
	if !errors.Is(c.Counts().Refused, dhcp4.ErrOtherServer) {
		t.Errorf("refused for %v, ErrOtherServer wanted", c.Counts().Refused)
	}
	if out := c.Handle(now, ack(t, c, generous())); out.Change != dhcp4.Granted {
		t.Error("the chosen server's ACK is not taken any more")
	}
}

func TestAnACKWithoutLeaseTimeIsNoLease(t *testing.T) {
	c, now := in(t, dhcp4.Requesting)
	if out := c.Handle(now, ack(t, c, generous().with(51, nil))); out.Change != dhcp4.Unchanged {
		t.Errorf("taken: %+v", out)
	}
}

func TestInitRebootAsksOnceThenDiscovers(t *testing.T) {
	c := dhcp4.New(params(), rng())
	if got := only(t, c.Reboot(boot, held(t))).Type; got != dhcpv4.MessageTypeRequest {
		t.Fatalf("%s sent, REQUEST wanted", got)
	}
	m := sent(t, only(t, c.Tick(c.Deadline())))
	if m.MessageType() != dhcpv4.MessageTypeDiscover || !m.RequestedIPAddress().Equal(leased().AsSlice()) {
		t.Errorf("%s for %s sent, DISCOVER for %s wanted", m.MessageType(), m.RequestedIPAddress(), leased())
	}
}

func TestInitRebootTakesAnyServersAnswer(t *testing.T) {
	c, now := in(t, dhcp4.Rebooting)
	out := c.Handle(now, ack(t, c, generous().with(54, b4("192.0.2.2"))))
	if l, _ := c.Lease(); out.Change != dhcp4.Granted || l.Server != netip.MustParseAddr("192.0.2.2") {
		t.Errorf("not granted by the new server: %+v", l)
	}
}
