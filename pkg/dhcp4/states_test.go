package dhcp4_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/dhcp4"
)

func exchanges() []dhcp4.State {
	return []dhcp4.State{dhcp4.Selecting, dhcp4.Requesting, dhcp4.Rebooting, dhcp4.Renewing, dhcp4.Rebinding}
}

// unmoved fails if a reply changed anything but the counts.
func unmoved(t *testing.T, c *dhcp4.Client, now time.Duration, r dhcp4.Reply) {
	t.Helper()
	state, deadline, xid := c.State(), c.Deadline(), c.XID()
	lease, holds := c.Lease()
	out := c.Handle(now, r)
	after, still := c.Lease()
	if len(out.Send) != 0 || out.Change != dhcp4.Unchanged || c.State() != state || c.Deadline() != deadline || c.XID() != xid {
		t.Errorf("%s in %s: %+v, then %s", r.Type, state, out, c.State())
	}
	if holds != still || lease.Address != after.Address || lease.Expiry != after.Expiry {
		t.Errorf("%s in %s: the lease is another", r.Type, state)
	}
}

func TestRepliesOfOthersChangeNothingInAnyState(t *testing.T) {
	for name, alter := range map[string]func(*dhcp4.Reply){
		"another transaction": func(r *dhcp4.Reply) { r.XID++ },
		"transaction 0":       func(r *dhcp4.Reply) { r.XID = 0 },
		"another MAC":         func(r *dhcp4.Reply) { r.Client[5]++ },
	} {
		t.Run(name, func(t *testing.T) {
			for _, state := range exchanges() {
				c, now := in(t, state)
				for _, r := range []dhcp4.Reply{offer(t, c, generous()), ack(t, c, generous()), nak(t, c, generous())} {
					alter(&r)
					unmoved(t, c, now, r)
				}
			}
		})
	}
}

func TestWhatAStateDoesNotWaitForChangesNothing(t *testing.T) {
	const offered, acked, naked = dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak
	for state, kinds := range map[dhcp4.State][]dhcpv4.MessageType{
		dhcp4.Init:       {offered, acked, naked},
		dhcp4.Selecting:  {acked, naked},
		dhcp4.Requesting: {offered},
		dhcp4.Rebooting:  {offered},
		dhcp4.Bound:      {offered, acked, naked},
		dhcp4.Renewing:   {offered},
		dhcp4.Rebinding:  {offered},
	} {
		// FORCERENEW is among them (RFC 3203): anybody could send it.
		for _, kind := range append(kinds, dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeDecline, dhcpv4.MessageTypeInform, 9, 13, 255) {
			c, now := dhcp4.New(params(), rng()), boot
			if state != dhcp4.Init {
				c, now = in(t, state)
			}
			unmoved(t, c, now, answer(t, c, kind, leased(), generous()))
		}
	}
}

func TestAnEchoedClientIDMustBeOursInAnyState(t *testing.T) {
	others := generous().with(61, []byte{1, 1})
	for _, state := range exchanges() {
		c, now := in(t, state)
		for _, r := range []dhcp4.Reply{offer(t, c, others), ack(t, c, others), nak(t, c, others)} {
			if unmoved(t, c, now, r); !errors.Is(c.Counts().Refused, dhcp4.ErrOtherClient) {
				t.Errorf("%s in %s is refused for: %v", r.Type, state, c.Counts().Refused)
			}
		}
	}
	ours := generous().with(61, clientID())
	if c := bound(t, ours); c.State() != dhcp4.Bound {
		t.Error("our own is refused")
	}
}

func TestDuplicateAndReorderedRepliesMakeOneLease(t *testing.T) {
	c, now := in(t, dhcp4.Selecting)
	first, second := offer(t, c, generous()), answer(t, c, dhcpv4.MessageTypeOffer, netip.MustParseAddr("192.0.2.77"), generous().with(54, b4("192.0.2.2")))
	granted := ack(t, c, generous())
	unmoved(t, c, now, granted) // before its OFFER
	only(t, c.Handle(now, first))
	unmoved(t, c, now, first)
	unmoved(t, c, now, second)
	if out := c.Handle(now, granted); out.Change != dhcp4.Granted || len(out.Send) != 0 {
		t.Fatalf("%+v", out)
	}
	for _, r := range []dhcp4.Reply{granted, first, second, nak(t, c, generous())} {
		unmoved(t, c, now, r)
	}
}

func TestALateReplyOfAFormerTransactionChangesNothing(t *testing.T) {
	for _, state := range []dhcp4.State{dhcp4.Requesting, dhcp4.Rebooting, dhcp4.Renewing, dhcp4.Rebinding} {
		c, now := in(t, state)
		late := []dhcp4.Reply{ack(t, c, generous()), nak(t, c, generous())}
		for xid := c.XID(); c.XID() == xid; {
			now = c.Deadline()
			c.Tick(now)
		}
		for _, r := range late {
			unmoved(t, c, now, r)
		}
	}
}

func TestAnACKThatComesAfterTheLeaseWasOverIsNone(t *testing.T) {
	c, now := in(t, dhcp4.Requesting)
	r := ack(t, c, generous().with(51, secs(time.Second)))
	unmoved(t, c, now+2*time.Second, r)
}

func TestAnACKOfAnotherAddressIsNoLease(t *testing.T) {
	other := netip.MustParseAddr("192.0.2.77")
	for _, state := range []dhcp4.State{dhcp4.Requesting, dhcp4.Rebooting, dhcp4.Renewing, dhcp4.Rebinding} {
		c, now := in(t, state)
		_, held := c.Lease()
		out := c.Handle(now, answer(t, c, dhcpv4.MessageTypeAck, other, generous()))
		if (out.Change == dhcp4.Lost) != held || only(t, out).Type != dhcpv4.MessageTypeDiscover {
			t.Errorf("in %s: %+v", state, out)
		}
	}
}

func TestARequestIsSentAgainAsItWas(t *testing.T) {
	c := dhcp4.New(params(), rng())
	c.Start(boot)
	now := c.Deadline()
	discover := sent(t, only(t, c.Tick(now)))
	first := only(t, c.Handle(now+time.Second, offer(t, c, generous())))
	if m := sent(t, first); m.NumSeconds != discover.NumSeconds || m.TransactionID != discover.TransactionID {
		t.Errorf("secs %d, xid %s; the DISCOVER's are %d, %s", m.NumSeconds, m.TransactionID, discover.NumSeconds, discover.TransactionID)
	}
	second := only(t, c.Tick(c.Deadline()))
	if string(first.Payload) != string(second.Payload) {
		t.Error("the second REQUEST is another")
	}
}
