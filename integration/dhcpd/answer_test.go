package dhcpd

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

func config() Config {
	return Config{
		Interface: "eth0", Address: netip.MustParsePrefix("198.18.0.1/16"),
		First: netip.MustParseAddr("198.18.1.0"), Last: netip.MustParseAddr("198.18.1.1"),
		Lease: time.Minute,
	}
}

// side is one client talking to a server that has no wire.
type side struct {
	t *testing.T
	s *Server
}

func newSide(t *testing.T, change func(*Config)) side {
	t.Helper()
	cfg := config()
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return side{t, s}
}

// request is a client's message, n its MAC's last byte.
func (c side) request(n byte, kind dhcpv4.MessageType, mods ...dhcpv4.Modifier) Request {
	c.t.Helper()
	mac := net.HardwareAddr{2, 0, 0, 0, 0, n}
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(mac)}, mods...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	return Request{Message: m, server: c.s, known: new(bool), Entry: Entry{
		Type: kind, MAC: mac, CIAddr: addrOf(m.ClientIPAddr), Requested: addrOf(m.RequestedIPAddress()), ServerID: addrOf(m.ServerIdentifier()),
	}}
}

func (c side) say(n byte, kind dhcpv4.MessageType, mods ...dhcpv4.Modifier) (*dhcpv4.DHCPv4, bool) {
	c.t.Helper()
	r := c.request(n, kind, mods...)
	replies := c.s.regular(&r)
	if len(replies) == 0 {
		return nil, *r.known
	}
	return replies[0].Message, *r.known
}

func wants(a string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.ParseIP(a)))
}

func has(a string) dhcpv4.Modifier { return dhcpv4.WithClientIP(net.ParseIP(a)) }

func chose(a string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP(a)))
}

func (c side) got(m *dhcpv4.DHCPv4, kind dhcpv4.MessageType, addr string) {
	c.t.Helper()
	switch {
	case m == nil:
		c.t.Errorf("no answer, want %s %s", kind, addr)
	case m.MessageType() != kind || m.YourIPAddr.String() != addr:
		c.t.Errorf("got %s %s, want %s %s", m.MessageType(), m.YourIPAddr, kind, addr)
	}
}

func (c side) silent(m *dhcpv4.DHCPv4) {
	c.t.Helper()
	if m != nil {
		c.t.Errorf("got %s, want no answer", m.MessageType())
	}
}

// RFC 2131 §4.3, message by message.
func TestAnswers(t *testing.T) {
	const ack, nak, offer = dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak, dhcpv4.MessageTypeOffer
	const discover, request = dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest
	c := newSide(t, nil)

	m, _ := c.say(1, discover)
	c.got(m, offer, "198.18.1.0")
	m, _ = c.say(2, discover, wants("198.18.1.0"))
	c.got(m, offer, "198.18.1.1") // the other's offer is held
	m, _ = c.say(1, request, wants("198.18.1.0"), chose("198.18.0.1"))
	c.got(m, ack, "198.18.1.0")
	m, _ = c.say(2, request, wants("198.18.1.1"), chose("198.18.0.9"))
	c.silent(m) // another server was chosen
	m, _ = c.say(1, request, has("198.18.1.0"))
	c.got(m, ack, "198.18.1.0") // renewal
	m, _ = c.say(2, request, has("198.18.1.0"))
	c.got(m, nak, "0.0.0.0") // somebody else's
	m, _ = c.say(1, request, wants("198.18.1.0"))
	c.got(m, ack, "198.18.1.0") // INIT-REBOOT
	m, _ = c.say(1, request, wants("10.0.0.1"))
	c.got(m, nak, "0.0.0.0") // another network

	if _, known := c.say(2, dhcpv4.MessageTypeRelease, has("198.18.1.0")); known {
		t.Error("a release of another's address counts")
	}
	if _, known := c.say(1, dhcpv4.MessageTypeRelease, has("198.18.1.0")); !known || len(c.s.ActiveLeases()) != 0 {
		t.Errorf("a release does not count: %v", c.s.ActiveLeases())
	}
	m, _ = c.say(1, discover)
	c.got(m, offer, "198.18.1.0") // the address it had
	if _, known := c.say(1, dhcpv4.MessageTypeDecline, wants("198.18.1.0")); !known {
		t.Error("a decline does not count")
	}
	m, _ = c.say(1, discover)
	c.got(m, offer, "198.18.1.1") // not the declined one
	m, _ = c.say(3, discover)
	c.silent(m) // the pool is empty
	m, _ = c.say(3, dhcpv4.MessageTypeInform, has("198.18.0.50"))
	c.got(m, ack, "0.0.0.0")
	if m != nil && m.Options.Has(dhcpv4.OptionIPAddressLeaseTime) {
		t.Error("an INFORM is answered with a lease time")
	}
}

// What a client was offered and did not take is no address of its own.
func TestAWishGoesBeforeAnOldOffer(t *testing.T) {
	const discover, offer = dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeOffer
	c := newSide(t, nil)
	m, _ := c.say(1, discover)
	c.got(m, offer, "198.18.1.0")
	m, _ = c.say(1, discover)
	c.got(m, offer, "198.18.1.0")
	m, _ = c.say(1, discover, wants("198.18.1.1"))
	c.got(m, offer, "198.18.1.1")
	m, _ = c.say(1, dhcpv4.MessageTypeRequest, wants("198.18.1.1"), chose("198.18.0.1"))
	c.got(m, dhcpv4.MessageTypeAck, "198.18.1.1")
	m, _ = c.say(1, discover, wants("198.18.1.0"))
	c.got(m, offer, "198.18.1.1") // that one is
}

func TestAnAddressInUseIsOfferedToNobodyElse(t *testing.T) {
	used := netip.MustParseAddr("198.18.1.0")
	c := newSide(t, func(cfg *Config) { cfg.InUse = func(a netip.Addr) bool { return a == used } })
	m, _ := c.say(1, dhcpv4.MessageTypeDiscover)
	c.got(m, dhcpv4.MessageTypeOffer, "198.18.1.1")
	m, _ = c.say(2, dhcpv4.MessageTypeDiscover)
	c.silent(m)
	m, _ = c.say(2, dhcpv4.MessageTypeRequest, has("198.18.1.0"))
	c.got(m, dhcpv4.MessageTypeAck, "198.18.1.0")
}

func TestUnknownLease(t *testing.T) {
	c := newSide(t, nil)
	m, _ := c.say(1, dhcpv4.MessageTypeRequest, has("198.18.1.1"))
	c.got(m, dhcpv4.MessageTypeAck, "198.18.1.1")
	c = newSide(t, func(cfg *Config) { cfg.NotAuthoritative = true })
	m, _ = c.say(1, dhcpv4.MessageTypeRequest, has("198.18.1.1"))
	c.silent(m)
}

func TestReservation(t *testing.T) {
	addr := netip.MustParseAddr("198.18.1.0")
	c := newSide(t, func(cfg *Config) { cfg.Reserved = map[string]netip.Addr{"02:00:00:00:00:07": addr} })
	m, _ := c.say(1, dhcpv4.MessageTypeDiscover)
	c.got(m, dhcpv4.MessageTypeOffer, "198.18.1.1")
	m, _ = c.say(7, dhcpv4.MessageTypeDiscover)
	c.got(m, dhcpv4.MessageTypeOffer, "198.18.1.0")
}

func TestBadConfig(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no interface":  func(c *Config) { c.Interface = "" },
		"pool outside":  func(c *Config) { c.Last = netip.MustParseAddr("10.0.0.1") },
		"pool reversed": func(c *Config) { c.First, c.Last = c.Last, c.First },
		"no lease time": func(c *Config) { c.Lease = 0 },
	} {
		cfg := config()
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
