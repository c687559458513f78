package lab

import (
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/lab/ether"
)

// Decline says that somebody else has the leased address (RFC 2131 §4.4.4).
func (c *DHCPClient) Decline(l DHCPLease) error {
	m, err := c.message(dhcpv4.MessageTypeDecline,
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(l.Addr.AsSlice())),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(l.ACK.ServerIdentifier())))
	if err != nil {
		return err
	}
	_, sock, err := c.ns.packetSocket(c.iface)
	if err != nil {
		return err
	}
	defer sock.Close()
	return sock.Send(c.frame(ether.Broadcast(), netip.IPv4Unspecified(), netip.AddrFrom4([4]byte{255, 255, 255, 255}), m))
}
