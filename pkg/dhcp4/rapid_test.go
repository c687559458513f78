package dhcp4_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/dhcp4"
)

func hurried() dhcp4.Params {
	p := params()
	p.RapidCommit = true
	return p
}

func TestRapidCommit(t *testing.T) {
	committed := generous().with(80, []byte{})
	for name, tc := range map[string]struct {
		params dhcp4.Params
		kind   dhcpv4.MessageType
		opts   options
		want   dhcp4.State
	}{
		"an ACK with option 80 is a lease":           {hurried(), dhcpv4.MessageTypeAck, committed, dhcp4.Bound},
		"an ACK without it is none":                  {hurried(), dhcpv4.MessageTypeAck, generous(), dhcp4.Selecting},
		"an ACK that nobody asked for is none":       {params(), dhcpv4.MessageTypeAck, committed, dhcp4.Selecting},
		"an ACK without lease time is none":          {hurried(), dhcpv4.MessageTypeAck, committed.with(51, nil), dhcp4.Selecting},
		"an OFFER leads on as ever":                  {hurried(), dhcpv4.MessageTypeOffer, generous(), dhcp4.Requesting},
		"an OFFER with option 80 is an OFFER":        {hurried(), dhcpv4.MessageTypeOffer, committed, dhcp4.Requesting},
		"a NAK to a DISCOVER means nothing":          {hurried(), dhcpv4.MessageTypeNak, committed, dhcp4.Selecting},
		"an ACK with another's client-id is nothing": {hurried(), dhcpv4.MessageTypeAck, committed.with(61, []byte{1, 1}), dhcp4.Selecting},
	} {
		t.Run(name, func(t *testing.T) {
			c := dhcp4.New(tc.params, rng())
			m := sent(t, only(t, c.Start(boot)))
			if value, there := m.Options[80]; there != tc.params.RapidCommit || len(value) != 0 {
				t.Errorf("option 80 there: %v, %x", there, value)
			}
			now := boot + 2*time.Second
			out := c.Handle(now, answer(t, c, tc.kind, leased(), tc.opts))
			if c.State() != tc.want || (out.Change == dhcp4.Granted) != (tc.want == dhcp4.Bound) {
				t.Fatalf("%+v, %s; %s wanted", out, c.State(), tc.want)
			}
			if l, holds := c.Lease(); holds && (l.Acquired != boot || l.Expiry != boot+time.Hour) {
				t.Errorf("counts from %s, not from the DISCOVER", l.Acquired)
			}
			for _, d := range out.Send {
				if _, there := sent(t, d).Options[80]; there {
					t.Error("the REQUEST has option 80")
				}
			}
		})
	}
}

func TestARapidLeaseCountsFromADiscoverOfTheLastHalfMinute(t *testing.T) {
	c := dhcp4.New(hurried(), rng())
	c.Start(boot)
	now := boot
	for range 20 {
		now = c.Deadline()
		c.Tick(now)
	}
	c.Handle(now, answer(t, c, dhcpv4.MessageTypeAck, leased(), generous().with(80, []byte{})))
	if l, holds := c.Lease(); !holds || now-l.Acquired > 40*time.Second {
		t.Errorf("held: %v, counts from %s ago", holds, now-l.Acquired)
	}
}

func TestWhoIsTiedToAnAddressDoesNotAskForARapidLease(t *testing.T) {
	c := dhcp4.Adopt(hurried(), rng(), held(t))
	m := sent(t, only(t, c.Tick(boot+time.Hour)))
	if _, there := m.Options[80]; there {
		t.Error("a server may commit any address")
	}
}

func TestOtherServersThanThoseAllowedAreNotListenedTo(t *testing.T) {
	allowed, other := generous(), generous().with(54, b4("192.0.2.66"))
	reply := map[dhcp4.State]dhcpv4.MessageType{
		dhcp4.Selecting: dhcpv4.MessageTypeOffer, dhcp4.Requesting: dhcpv4.MessageTypeAck, dhcp4.Rebooting: dhcpv4.MessageTypeAck,
		dhcp4.Renewing: dhcpv4.MessageTypeAck, dhcp4.Rebinding: dhcpv4.MessageTypeAck,
	}
	for state, kind := range reply {
		t.Run(state.String(), func(t *testing.T) {
			p := params()
			p.Servers = []netip.Addr{netip.MustParseAddr("192.0.2.7"), serverIP()}
			c, now := inWith(t, p, state)
			for _, r := range []dhcp4.Reply{answer(t, c, kind, leased(), other), nak(t, c, other), nak(t, c, options{})} {
				if out := c.Handle(now, r); c.State() != state || out.Change != dhcp4.Unchanged {
					t.Fatalf("%s taken: %+v", r.Type, out)
				}
				if !errors.Is(c.Counts().Refused, dhcp4.ErrServerNotAllowed) {
					t.Errorf("%s refused for: %v", r.Type, c.Counts().Refused)
				}
			}
			if c.Handle(now, answer(t, c, kind, leased(), allowed)); c.State() == state {
				t.Errorf("an allowed server's %s is refused: %v", kind, c.Counts().Refused)
			}
		})
	}
}

func TestAnAddressThatIsNotAcceptableIsRefusedAtTheUsualPace(t *testing.T) {
	errOurs := errors.New("a Pod of this node has it")
	p := hurried()
	p.Acceptable = func(a netip.Addr) error {
		if a == leased() {
			return errOurs
		}
		return nil
	}
	for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeAck} {
		c := dhcp4.New(p, rng())
		c.Start(boot)
		due := c.Deadline()
		out := c.Handle(boot, answer(t, c, kind, leased(), generous().with(80, []byte{})))
		if len(out.Send) != 0 || c.State() != dhcp4.Selecting || c.Deadline() != due || !errors.Is(c.Counts().Refused, errOurs) {
			t.Errorf("%s: %+v, %s, %v", kind, out, c.State(), c.Counts().Refused)
		}
		if got := only(t, c.Tick(due)).Type; got != dhcpv4.MessageTypeDiscover {
			t.Errorf("%s follows", got)
		}
		if c.Handle(due, answer(t, c, kind, netip.MustParseAddr("192.0.2.51"), generous().with(80, []byte{}))); c.State() == dhcp4.Selecting {
			t.Errorf("%s: no other address is taken: %v", kind, c.Counts().Refused)
		}
	}
}
