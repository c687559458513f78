package dhcpd

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// offer is an OFFER with options that need room.
func offer(t *testing.T, changes ...Change) *dhcpv4.DHCPv4 {
	t.Helper()
	c := newSide(t, func(cfg *Config) { cfg.Domain = "lan.example" })
	replies, _ := Alter(changes...)(c.request(1, dhcpv4.MessageTypeDiscover))
	if len(replies) != 1 {
		t.Fatalf("%d replies", len(replies))
	}
	return replies[0].Message
}

// field reads the options of a part of a message.
func field(t *testing.T, b []byte) dhcpv4.Options {
	t.Helper()
	opts := dhcpv4.Options{}
	if err := opts.FromBytes(b); err != nil {
		t.Fatal(err)
	}
	return opts
}

func TestOverloadedOptionsAreInFileThenSnameThenWhereTheyBelong(t *testing.T) {
	long := bytes.Repeat([]byte{7}, 60)
	m := offer(t, With(121, ClasslessRoutes(20, netip.MustParseAddr("198.18.0.1"))...), With(200, long...), With(201, long...))
	b := Overloaded(m)
	if len(b) <= optionsOffset || !bytes.Equal(b[cookieOffset:optionsOffset], []byte{99, 130, 83, 99}) {
		t.Fatalf("no cookie in %x", b)
	}
	rest, file, sname := field(t, b[optionsOffset:]), field(t, b[fileOffset:cookieOffset]), field(t, b[snameOffset:fileOffset])
	if got := rest[52]; !bytes.Equal(got, []byte{3}) {
		t.Errorf("option 52 is %v, want both fields", got)
	}
	for where, want := range map[uint8]dhcpv4.Options{51: file, 54: file, 200: file, 201: sname, 121: rest, 53: rest} {
		if !bytes.Equal(want[where], m.Options[where]) {
			t.Errorf("option %d is not where it fits: %v %v %v", where, rest, file, sname)
		}
	}
}

func TestWritersLeaveOutWhatTheyAreNamedFor(t *testing.T) {
	m := offer(t)
	whole := m.Options.ToBytes()
	if b := Endless(m); !bytes.Equal(b[optionsOffset:], whole) {
		t.Errorf("ends with %x", b[optionsOffset:])
	}
	if b := Overrunning(m); !bytes.HasPrefix(b[optionsOffset:], whole) || int(b[optionsOffset+len(whole)+1]) <= len(b)-optionsOffset-len(whole)-2 {
		t.Errorf("ends with %x", b[optionsOffset:])
	}
	last := Until(54)(m)
	if got := field(t, append(last[optionsOffset:], 255)); got[54] != nil || got[53] == nil {
		t.Errorf("until option 54: %v", got)
	}
}

func TestCutShortIsEveryLengthBelow(t *testing.T) {
	c := newSide(t, nil)
	replies, handled := CutShort(Plain)(c.request(1, dhcpv4.MessageTypeDiscover))
	if !handled || len(replies) != len(Plain(replies[0].Message)) {
		t.Fatalf("%d replies", len(replies))
	}
	for n, r := range replies {
		if len(r.Writer(r.Message)) != n {
			t.Errorf("reply %d is %d bytes long", n, len(r.Writer(r.Message)))
		}
	}
}

func TestChangesDoWhatTheySay(t *testing.T) {
	plain := offer(t)
	addr := netip.MustParseAddr("198.18.9.9")
	for name, c := range map[string]struct {
		change Change
		holds  func(m *dhcpv4.DHCPv4) bool
	}{
		"type":      {As(ForceRenew), func(m *dhcpv4.DHCPv4) bool { return m.MessageType() == 9 }},
		"chaddr":    {ToAnotherClient, func(m *dhcpv4.DHCPv4) bool { return m.ClientHWAddr.String() != plain.ClientHWAddr.String() }},
		"client-id": {EchoingAnotherID, func(m *dhcpv4.DHCPv4) bool { return string(m.Options[61]) == "\x00nobody" }},
		"address":   {Granting(addr), func(m *dhcpv4.DHCPv4) bool { return addrOf(m.YourIPAddr) == addr }},
		"server":    {ByServer(addr), func(m *dhcpv4.DHCPv4) bool { return addrOf(m.ServerIdentifier()) == addr }},
		"less":      {Without(51, 54), func(m *dhcpv4.DHCPv4) bool { return m.Options[51] == nil && m.Options[54] == nil }},
		"forever": {Lasting(Forever, 0, 0), func(m *dhcpv4.DHCPv4) bool {
			return bytes.Equal(m.Options[51], []byte{255, 255, 255, 255}) && m.Options[58] == nil
		}},
		"its times": {Lasting(9, 7, 8), func(m *dhcpv4.DHCPv4) bool {
			return slices.Equal(m.Options[58], []byte{0, 0, 0, 7}) && m.Options[59][3] == 8
		}},
		"many routes": {With(121, ClasslessRoutes(300, addr)...), func(m *dhcpv4.DHCPv4) bool { return len(m.Options[121]) == 5+300*8 }},
	} {
		m := offer(t, c.change)
		if !c.holds(m) || c.holds(plain) {
			t.Errorf("%s: %s", name, m.Summary())
		}
	}
}
