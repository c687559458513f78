package dhcpd

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// hears has the server answer a message as if it came from the wire: by unicast
// or to everybody.
func (c side) hears(n byte, unicast bool, kind dhcpv4.MessageType, mods ...dhcpv4.Modifier) []Reply {
	c.t.Helper()
	r := c.request(n, kind, mods...)
	r.DstIP = limitedBroadcast()
	if unicast {
		r.DstIP = c.s.addr
	}
	replies, handled := c.s.scripted(r)
	if !handled {
		return c.s.regular(&r)
	}
	return replies
}

// types are those of replies, in their order.
func types(replies []Reply) []dhcpv4.MessageType {
	var kinds []dhcpv4.MessageType
	for _, r := range replies {
		kinds = append(kinds, r.Message.MessageType())
	}
	return kinds
}

func (c side) gives(replies []Reply, want ...dhcpv4.MessageType) {
	c.t.Helper()
	if got := types(replies); !slices.Equal(got, want) {
		c.t.Errorf("answered %v, want %v", got, want)
	}
}

// Each state's message meets that state's condition alone (RFC 2131 §4.3.6).
func TestAConditionIsOneState(t *testing.T) {
	states := map[string]Condition{
		"DISCOVER": Discovering, "SELECTING": Selecting, "INIT-REBOOT": Rebooting, "RENEWING": Renewing, "REBINDING": Rebinding,
	}
	const request = dhcpv4.MessageTypeRequest
	for want, say := range map[string]func(side) []Reply{
		"DISCOVER":    func(c side) []Reply { return c.hears(1, false, dhcpv4.MessageTypeDiscover) },
		"SELECTING":   func(c side) []Reply { return c.hears(1, false, request, wants("198.18.1.0"), chose("198.18.0.1")) },
		"INIT-REBOOT": func(c side) []Reply { return c.hears(1, false, request, wants("198.18.1.0")) },
		"RENEWING":    func(c side) []Reply { return c.hears(1, true, request, has("198.18.1.0")) },
		"REBINDING":   func(c side) []Reply { return c.hears(1, false, request, has("198.18.1.0")) },
	} {
		for name, state := range states {
			c := newSide(t, nil)
			c.s.On(state).Answer(Silent())
			if silent := len(say(c)) == 0; silent != (name == want) {
				t.Errorf("a message of %s meets %s: %v", want, name, silent)
			}
		}
	}
}

func TestTheLatestRuleThatFitsHoldsUntilItIsLifted(t *testing.T) {
	const offer, nak = dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeNak
	c := newSide(t, nil)
	discover := func(n byte) []Reply { return c.hears(n, false, dhcpv4.MessageTypeDiscover) }
	c.s.On(Discovering).Answer(Silent())
	lift := c.s.On(Discovering, From(net.HardwareAddr{2, 0, 0, 0, 0, 2}), Times(1)).Answer(NAK)
	c.gives(discover(1))
	c.gives(discover(2), nak)
	c.gives(discover(2)) // once only
	lift()
	c.gives(discover(2))
	c.s.SetScript(nil)
	c.gives(discover(2), offer)
}

func TestScriptsOfOneAnswerSpeakInTurn(t *testing.T) {
	c := newSide(t, nil)
	other := netip.MustParseAddr("198.18.0.9")
	c.s.On(Requesting).Answer(NAKBy(other), Alter(As(dhcpv4.MessageTypeOffer), OfAnotherTransaction), Regularly)
	replies := c.hears(1, false, dhcpv4.MessageTypeRequest, wants("198.18.1.0"), chose("198.18.0.1"))
	c.gives(replies, dhcpv4.MessageTypeNak, dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeAck)
	if replies[0].FromIP != other || addrOf(replies[0].Message.ServerIdentifier()) != other {
		t.Errorf("the NAK is by %s", replies[0].Message.ServerIdentifier())
	}
	if replies[1].Message.TransactionID == replies[2].Message.TransactionID {
		t.Error("the OFFER is of the client's transaction")
	}
	if len(c.s.ActiveLeases()) != 1 {
		t.Errorf("another's NAK cost the lease: %v", c.s.ActiveLeases())
	}
}

func TestANAKForgetsTheLease(t *testing.T) {
	c := newSide(t, nil)
	c.hears(1, false, dhcpv4.MessageTypeRequest, wants("198.18.1.0"), chose("198.18.0.1"))
	c.s.On(Renewing).Answer(NAK)
	c.gives(c.hears(1, true, dhcpv4.MessageTypeRequest, has("198.18.1.0")), dhcpv4.MessageTypeNak)
	if got := c.s.ActiveLeases(); len(got) != 0 {
		t.Errorf("leases %v", got)
	}
}
