package dhcpd

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// options returns what goes into every OFFER and ACK.
func (s *Server) options() []dhcpv4.Option {
	c := s.cfg
	opts := []dhcpv4.Option{
		dhcpv4.OptServerIdentifier(c.Address.Addr().AsSlice()),
		dhcpv4.OptIPAddressLeaseTime(c.Lease),
		dhcpv4.OptSubnetMask(net.CIDRMask(c.Address.Bits(), 32)),
	}
	if c.T1 > 0 {
		opts = append(opts, dhcpv4.OptRenewTimeValue(c.T1))
	}
	if c.T2 > 0 {
		opts = append(opts, dhcpv4.OptRebindingTimeValue(c.T2))
	}
	if c.Router.IsValid() {
		opts = append(opts, dhcpv4.OptRouter(c.Router.AsSlice()))
	}
	if len(c.DNS) > 0 {
		opts = append(opts, dhcpv4.OptDNS(ips(c.DNS)...))
	}
	if c.Domain != "" {
		opts = append(opts, dhcpv4.OptDomainName(c.Domain))
	}
	if c.MTU > 0 {
		opts = append(opts, dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, binary.BigEndian.AppendUint16(nil, c.MTU)))
	}
	for code, value := range c.Options {
		opts = append(opts, dhcpv4.OptGeneric(dhcpv4.GenericOptionCode(code), value))
	}
	return opts
}

func ips(addrs []netip.Addr) []net.IP {
	out := make([]net.IP, len(addrs))
	for i, a := range addrs {
		out[i] = a.AsSlice()
	}
	return out
}

// nakTo builds a DHCPNAK: no address, no options but the server's identity and a
// message (RFC 2131 table 3).
func nakTo(req *dhcpv4.DHCPv4, server netip.Addr, why string) (*dhcpv4.DHCPv4, error) {
	m, err := dhcpv4.NewReplyFromRequest(req, dhcpv4.WithMessageType(dhcpv4.MessageTypeNak),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server.AsSlice())),
		dhcpv4.WithOption(dhcpv4.OptMessage(why)))
	if err != nil {
		return nil, fmt.Errorf("build a NAK: %w", err)
	}
	m.ClientIPAddr, m.YourIPAddr, m.ServerIPAddr = net.IPv4zero, net.IPv4zero, net.IPv4zero
	return m, nil
}
