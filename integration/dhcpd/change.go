package dhcpd

import (
	"encoding/binary"
	"math"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Change makes a lie, or an oddity, of a message.
type Change = func(*dhcpv4.DHCPv4)

// Forever is an infinite lease time (RFC 2131 §3.3), in seconds.
const Forever = math.MaxUint32

// ForceRenew is a DHCPFORCERENEW (RFC 3203 §4), which the codec does not know.
const ForceRenew dhcpv4.MessageType = 9

// As makes the message one of another type.
func As(kind dhcpv4.MessageType) Change {
	return func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptMessageType(kind)) }
}

// OfAnotherTransaction gives the message an xid that nobody has asked with.
func OfAnotherTransaction(m *dhcpv4.DHCPv4) { m.TransactionID[0] ^= 0x55 }

// ToAnotherClient gives the message a chaddr that nobody has. It is broadcast,
// so that the client hears it nevertheless.
func ToAnotherClient(m *dhcpv4.DHCPv4) {
	m.ClientHWAddr = net.HardwareAddr{0x02, 0xff, 0xff, 0xff, 0xff, 0xfe}
	m.SetBroadcast()
}

// EchoingAnotherID gives the message a client-id that nobody has (RFC 6842).
func EchoingAnotherID(m *dhcpv4.DHCPv4) {
	m.UpdateOption(dhcpv4.OptClientIdentifier([]byte("\x00nobody")))
}

// Granting gives the message another address.
func Granting(addr netip.Addr) Change {
	return func(m *dhcpv4.DHCPv4) { m.YourIPAddr = addr.AsSlice() }
}

// ByServer gives the message another server identifier.
func ByServer(id netip.Addr) Change { return With(54, id.AsSlice()...) }

// With sets an option to any bytes, by its code.
func With(code uint8, value ...byte) Change {
	return func(m *dhcpv4.DHCPv4) { m.Options[code] = value }
}

// Without leaves options out.
func Without(codes ...uint8) Change {
	return func(m *dhcpv4.DHCPv4) {
		for _, code := range codes {
			delete(m.Options, code)
		}
	}
}

// Lasting gives the lease other times, in seconds: its length, T1 and T2, the
// latter two left out where they are 0.
func Lasting(lease, t1, t2 uint32) Change {
	return func(m *dhcpv4.DHCPv4) {
		for code, s := range map[uint8]uint32{51: lease, 58: t1, 59: t2} {
			delete(m.Options, code)
			if code == 51 || s > 0 {
				m.Options[code] = binary.BigEndian.AppendUint32(nil, s)
			}
		}
	}
}

// ClasslessRoutes is option 121's value (RFC 3442) for n routes to 10.0.0.0/24,
// 10.0.1.0/24 and so on by one router, 8 bytes each, and a default one.
func ClasslessRoutes(n int, router netip.Addr) []byte {
	gw := router.As4()
	value := append([]byte{0}, gw[:]...)
	for i := range n {
		value = append(value, 24, 10, byte(i>>8), byte(i))
		value = append(value, gw[:]...)
	}
	return value
}
