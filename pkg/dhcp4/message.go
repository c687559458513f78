package dhcp4

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// maxMessage is what we take in one message (option 57): an Ethernet frame's
// worth, the headers of IPv4 and UDP taken off.
const maxMessage = 1500 - 20 - 8

// maxReason bounds what a server is told in option 56, in bytes: one option.
const maxReason = 255

// discovery is RFC 2131 §4.4.1, table 5: DHCPDISCOVER. It asks for the address
// that was held before, if any.
func (c *Client) discovery(now time.Duration) Datagram {
	m := c.message(dhcpv4.MessageTypeDiscover, now)
	c.describe(m)
	wish := c.wish
	if c.only.IsValid() {
		wish = c.only
	}
	if wish.IsValid() {
		m.Options.Update(dhcpv4.OptRequestedIPAddress(ip(wish)))
	}
	if c.rapid() {
		m.Options.Update(dhcpv4.OptGeneric(dhcpv4.OptionRapidCommit, nil))
	}
	c.secs = m.NumSeconds
	return broadcast(m, netip.IPv4Unspecified())
}

// selection is the DHCPREQUEST of SELECTING (with the server's identifier) and
// of INIT-REBOOT (without): §4.3.2. Both are broadcast, ciaddr is zero. The
// former has the DISCOVER's `secs`, for relays that go by it (§3.1).
func (c *Client) selection(now time.Duration) Datagram {
	m := c.message(dhcpv4.MessageTypeRequest, now)
	c.describe(m)
	m.Options.Update(dhcpv4.OptRequestedIPAddress(ip(c.offered.Address.Addr())))
	if c.state != Rebooting {
		m.Options.Update(dhcpv4.OptServerIdentifier(ip(c.offered.Server)))
		m.NumSeconds = c.secs
	}
	return broadcast(m, netip.IPv4Unspecified())
}

// extension is the DHCPREQUEST of RENEWING (unicast to the server) and of
// REBINDING (broadcast): ciaddr is the leased address, options 50 and 54 must
// not be there (§4.3.2).
func (c *Client) extension(now time.Duration) Datagram {
	m := c.message(dhcpv4.MessageTypeRequest, now)
	c.describe(m)
	m.ClientIPAddr = ip(c.lease.Address.Addr())
	if c.state == Rebinding {
		return broadcast(m, c.lease.Address.Addr())
	}
	return unicast(m, c.lease)
}

// release is DHCPRELEASE, unicast from the leased address: servers drop one
// from 0.0.0.0, and one with option 50.
func (c *Client) release(l Lease) Datagram {
	m := c.message(dhcpv4.MessageTypeRelease, 0)
	m.NumSeconds = 0
	m.ClientIPAddr = ip(l.Address.Addr())
	m.Options.Update(dhcpv4.OptServerIdentifier(ip(l.Server)))
	return unicast(m, l)
}

// declination is DHCPDECLINE (§4.4.1, table 5), broadcast: the address is not
// ours, so it is no source.
func (c *Client) declination(l Lease, reason string) Datagram {
	m := c.message(dhcpv4.MessageTypeDecline, 0)
	m.NumSeconds = 0
	m.Options.Update(dhcpv4.OptRequestedIPAddress(ip(l.Address.Addr())))
	m.Options.Update(dhcpv4.OptServerIdentifier(ip(l.Server)))
	if reason != "" {
		m.Options.Update(dhcpv4.OptMessage(reason[:min(len(reason), maxReason)]))
	}
	return broadcast(m, netip.IPv4Unspecified())
}

// message is what all messages share. `secs` is at least 1, which some servers
// and relays want, and grows, which failover peers go by.
func (c *Client) message(kind Type, now time.Duration) *dhcpv4.DHCPv4 {
	m := &dhcpv4.DHCPv4{
		OpCode:       dhcpv4.OpcodeBootRequest,
		HWType:       iana.HWTypeEthernet,
		ClientHWAddr: c.params.MAC.HardwareAddr(),
		NumSeconds:   uint16(min(max(1, (now-c.began)/time.Second), 0xffff)),
		ClientIPAddr: net.IPv4zero, YourIPAddr: net.IPv4zero, ServerIPAddr: net.IPv4zero, GatewayIPAddr: net.IPv4zero,
		Options: dhcpv4.OptionsFromList(dhcpv4.OptMessageType(kind)),
	}
	binary.BigEndian.PutUint32(m.TransactionID[:], c.xid)
	if len(c.params.ClientID) > 0 {
		m.Options.Update(dhcpv4.OptGeneric(dhcpv4.OptionClientIdentifier, c.params.ClientID))
	}
	return m
}

// describe adds what the client asks for and tells of itself. Who sends a FQDN
// sends no host name (RFC 4702 §3.1).
func (c *Client) describe(m *dhcpv4.DHCPv4) {
	m.Options.Update(dhcpv4.OptMaxMessageSize(maxMessage))
	m.Options.Update(dhcpv4.OptGeneric(dhcpv4.OptionParameterRequestList, c.params.ParameterRequest))
	_, fqdn := c.params.Send[uint8(dhcpv4.OptionFQDN)]
	for code, value := range c.params.Send {
		if !ofProtocol(code) && (!fqdn || code != uint8(dhcpv4.OptionHostName)) {
			m.Options.Update(dhcpv4.OptGeneric(dhcpv4.GenericOptionCode(code), value))
		}
	}
}

// ofProtocol are the options that the state machine alone may set, and that of
// relays.
func ofProtocol(code uint8) bool {
	switch code {
	case optPad, optEnd, optOverload,
		uint8(dhcpv4.OptionRequestedIPAddress), uint8(dhcpv4.OptionDHCPMessageType),
		uint8(dhcpv4.OptionServerIdentifier), uint8(dhcpv4.OptionParameterRequestList),
		uint8(dhcpv4.OptionMaximumDHCPMessageSize), uint8(dhcpv4.OptionClientIdentifier),
		uint8(dhcpv4.OptionRapidCommit), uint8(dhcpv4.OptionRelayAgentInformation):
		return true
	}
	return false
}

func broadcast(m *dhcpv4.DHCPv4, src netip.Addr) Datagram {
	return Datagram{
		Type: m.MessageType(), Payload: m.ToBytes(), Src: src,
		Dst: netip.AddrFrom4([4]byte{255, 255, 255, 255}), DstMAC: everybody(),
	}
}

// unicast goes to the server's MAC, or the relay's, from which the ACK came;
// where that is not known, to everybody's, still with the server's address.
func unicast(m *dhcpv4.DHCPv4, l Lease) Datagram {
	d := Datagram{Type: m.MessageType(), Payload: m.ToBytes(), Src: l.Address.Addr(), Dst: l.Server, DstMAC: l.ServerMAC}
	if d.DstMAC.IsZero() {
		d.DstMAC = everybody()
	}
	return d
}

func everybody() MAC { return MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }

func ip(a netip.Addr) net.IP { return a.AsSlice() }
