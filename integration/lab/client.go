package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/lab/ether"
)

// DHCPLease is what DHCPClient got: the ACK, and who sent it.
type DHCPLease struct {
	Addr      netip.Addr
	ACK       *dhcpv4.DHCPv4
	ServerMAC net.HardwareAddr
}

// DHCPClient is a simple client, for tests of the lab and to take addresses out
// of a pool. It speaks raw frames as any MAC, as podland does, without sharing
// code with it.
type DHCPClient struct {
	MAC net.HardwareAddr
	// ClientID is option 61's value; none is sent if nil.
	ClientID []byte

	ns    *Netns
	iface string
}

// DHCPClient returns a client on an interface of the namespace.
func (n *Netns) DHCPClient(iface string, mac net.HardwareAddr, clientID []byte) *DHCPClient {
	return &DHCPClient{MAC: mac, ClientID: clientID, ns: n, iface: iface}
}

// Lease gets an address: DISCOVER, OFFER, REQUEST, ACK.
func (c *DHCPClient) Lease(ctx context.Context) (DHCPLease, error) {
	discover, err := c.message(dhcpv4.MessageTypeDiscover)
	if err != nil {
		return DHCPLease{}, err
	}
	offer, _, err := c.exchange(ctx, discover)
	if err != nil {
		return DHCPLease{}, err
	}
	request, err := c.message(dhcpv4.MessageTypeRequest,
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(offer.YourIPAddr)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(offer.ServerIdentifier())))
	if err != nil {
		return DHCPLease{}, err
	}
	ack, from, err := c.exchange(ctx, request)
	if err != nil {
		return DHCPLease{}, err
	}
	if ack.MessageType() != dhcpv4.MessageTypeAck {
		return DHCPLease{}, fmt.Errorf("REQUEST answered by %s: %s", ack.MessageType(), ack.Message())
	}
	addr, ok := netip.AddrFromSlice(ack.YourIPAddr.To4())
	if !ok {
		return DHCPLease{}, errors.New("ACK without an address")
	}
	return DHCPLease{Addr: addr, ACK: ack, ServerMAC: from}, nil
}

// Release gives the address back, from that address and to the server's MAC
// (RFC 2131 §4.4.6).
func (c *DHCPClient) Release(l DHCPLease) error {
	m, err := c.message(dhcpv4.MessageTypeRelease, dhcpv4.WithClientIP(l.Addr.AsSlice()),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(l.ACK.ServerIdentifier())))
	if err != nil {
		return err
	}
	server, ok := netip.AddrFromSlice(l.ACK.ServerIdentifier().To4())
	if !ok {
		return errors.New("ACK without a server identifier")
	}
	_, sock, err := c.ns.packetSocket(c.iface)
	if err != nil {
		return err
	}
	defer sock.Close()
	return sock.Send(c.frame(l.ServerMAC, l.Addr, server, m))
}

func (c *DHCPClient) message(kind dhcpv4.MessageType, more ...dhcpv4.Modifier) (*dhcpv4.DHCPv4, error) {
	mods := []dhcpv4.Modifier{dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(c.MAC)}
	if c.ClientID != nil {
		mods = append(mods, dhcpv4.WithOption(dhcpv4.OptClientIdentifier(c.ClientID)))
	}
	m, err := dhcpv4.New(append(mods, more...)...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return m, nil
}

// exchange sends a message until it is answered or ctx ends.
func (c *DHCPClient) exchange(ctx context.Context, m *dhcpv4.DHCPv4) (answer *dhcpv4.DHCPv4, from net.HardwareAddr, err error) {
	_, sock, err := c.ns.packetSocket(c.iface)
	if err != nil {
		return nil, nil, err
	}
	defer sock.Close()
	all := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	raw := c.frame(ether.Broadcast(), netip.IPv4Unspecified(), all, m)
	err = probe(ctx, func(_ uint16, deadline time.Time) (bool, error) {
		sendErr := sock.Send(raw)
		_ = sock.SetReadDeadline(deadline.Add(time.Second)) // servers take longer than hosts
		answer, from = awaitReply(sock, m)
		return answer != nil, sendErr
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%s as %s: %w", m.MessageType(), c.MAC, err)
	}
	return answer, from, nil
}

func awaitReply(sock *ether.Socket, to *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, net.HardwareAddr) {
	for {
		f, err := sock.Recv()
		if err != nil {
			return nil, nil
		}
		m, ok := f.DHCP()
		if ok && !f.Outgoing && m.OpCode == dhcpv4.OpcodeBootReply && m.TransactionID == to.TransactionID {
			return m, f.Src
		}
	}
}

func (c *DHCPClient) frame(dstMAC net.HardwareAddr, src, dst netip.Addr, m *dhcpv4.DHCPv4) []byte {
	return ether.UDPFrame(dstMAC, c.MAC, ether.UDP{
		Src:     netip.AddrPortFrom(src, dhcpv4.ClientPort),
		Dst:     netip.AddrPortFrom(dst, dhcpv4.ServerPort),
		Payload: m.ToBytes(),
	})
}
