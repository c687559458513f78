package dhcpd

import (
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/lab/ether"
)

// Reply is a message to a client, and how it is to be sent.
type Reply struct {
	Message *dhcpv4.DHCPv4
	// When, if not nil, is awaited before the reply is sent; then After passes.
	When  <-chan struct{}
	After time.Duration
	// Copies are sent beside the first.
	Copies int
	// Broadcast sends to everybody what would go to one.
	Broadcast bool
	// Writer makes the payload; nil: Plain.
	Writer Writer
	// FromIP lies about the sender; unset, it is the server's.
	FromIP netip.Addr
}

// target says where a reply goes (RFC 2131 §4.1, without relays).
func (r Reply) target() (net.HardwareAddr, netip.Addr) {
	m := r.Message
	ci, yi := addrOf(m.ClientIPAddr), addrOf(m.YourIPAddr)
	switch {
	case r.Broadcast || m.MessageType() == dhcpv4.MessageTypeNak:
		return ether.Broadcast(), limitedBroadcast()
	case ci.IsValid():
		return m.ClientHWAddr, ci
	case m.IsBroadcast() || !yi.IsValid():
		return ether.Broadcast(), limitedBroadcast()
	default:
		return m.ClientHWAddr, yi
	}
}

// frame writes the reply, from the server's address unless it lies.
func (r Reply) frame(mac net.HardwareAddr, ip netip.Addr) []byte {
	if r.FromIP.IsValid() {
		ip = r.FromIP
	}
	write := r.Writer
	if write == nil {
		write = Plain
	}
	dstMAC, dstIP := r.target()
	return ether.UDPFrame(dstMAC, mac, ether.UDP{
		Src:     netip.AddrPortFrom(ip, dhcpv4.ServerPort),
		Dst:     netip.AddrPortFrom(dstIP, dhcpv4.ClientPort),
		Payload: write(r.Message),
	})
}
