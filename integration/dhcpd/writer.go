package dhcpd

import (
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Writer makes a UDP payload of a message, in whatever way servers do, or
// should not do, it.
type Writer func(*dhcpv4.DHCPv4) []byte

// Layout of a message (RFC 2131 §2).
const (
	snameOffset   = 44
	fileOffset    = 108
	cookieOffset  = 236
	optionsOffset = 240
)

// Plain is the usual writer: an END, then zeros up to 300 bytes.
func Plain(m *dhcpv4.DHCPv4) []byte { return m.ToBytes() }

// Endless writes no END and nothing after the last option.
func Endless(m *dhcpv4.DHCPv4) []byte {
	return append(fixed(m), m.Options.ToBytes()...)
}

// Overrunning ends with an option that claims more bytes than there are.
func Overrunning(m *dhcpv4.DHCPv4) []byte {
	return append(Endless(m), 15, 200, 'l', 'a', 'n')
}

// Overloaded puts all options but the message type into file, then sname (option
// 52, RFC 2131 §4.1), and what these do not hold into the options field.
func Overloaded(m *dhcpv4.DHCPv4) []byte {
	b := fixed(m)
	file, sname := b[fileOffset:cookieOffset:cookieOffset], b[snameOffset:fileOffset:fileOffset]
	rest := []byte{53, 1, byte(m.MessageType()), 52, 1, 3}
	f, s := file[:0], sname[:0]
	for _, option := range encoded(m) {
		switch {
		case option[0] == 53:
		case len(f)+len(option) < len(file):
			f = append(f, option...)
		case len(s)+len(option) < len(sname):
			s = append(s, option...)
		default:
			rest = append(rest, option...)
		}
	}
	_, _ = append(f, 255), append(s, 255) // both within b
	return append(append(b, rest...), 255)
}

// fixed is the part before the options, with a cookie.
func fixed(m *dhcpv4.DHCPv4) []byte { return slices.Clone(m.ToBytes()[:optionsOffset]) }

// encoded returns each option as it is written, in the order of their codes.
func encoded(m *dhcpv4.DHCPv4) [][]byte {
	raw := m.Options.ToBytes()
	var all [][]byte
	for len(raw) > 1 {
		n := 2 + int(raw[1])
		all = append(all, raw[:n])
		raw = raw[n:]
	}
	return all
}

// Until is the writer that stops before the first option of a code: what a
// message shrinks to whose rest got lost.
func Until(code uint8) Writer {
	return func(m *dhcpv4.DHCPv4) []byte {
		b := fixed(m)
		for _, option := range encoded(m) {
			if option[0] == code {
				break
			}
			b = append(b, option...)
		}
		return b
	}
}
