package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/podlan/podlan/integration/lab/ether"
)

// probeInterval is how long a probe waits for an answer before it asks again.
const probeInterval = 200 * time.Millisecond

// Dial connects from the namespace, as net.Dialer does. The address is a
// literal one: there are no names on the LAN.
func (n *Netns) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = n.Do(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens in the namespace, as net.Listen does.
func (n *Netns) Listen(ctx context.Context, network, address string) (l net.Listener, err error) {
	err = n.Do(func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(ctx, network, address)
		return err
	})
	return l, err
}

// HTTPClient returns a client whose connections come from the namespace.
func (n *Netns) HTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: n.Dial, DisableKeepAlives: true}}
}

// Ping sends ICMP echo requests from the namespace until one is answered or
// ctx ends.
func (n *Netns) Ping(ctx context.Context, dst netip.Addr) error {
	var conn net.PacketConn
	err := n.Do(func() (err error) {
		conn, err = net.ListenPacket("ip4:icmp", "0.0.0.0")
		return err
	})
	if err != nil {
		return fmt.Errorf("ping %s from %s: %w", dst, n.name, err)
	}
	defer conn.Close()
	id := uint16(os.Getpid()) ^ uint16(time.Now().UnixNano())
	err = probe(ctx, func(seq uint16, deadline time.Time) (bool, error) {
		// ENETUNREACH and the like may pass when routes appear.
		_, sendErr := conn.WriteTo(echoRequest(id, seq), &net.IPAddr{IP: dst.AsSlice()})
		_ = conn.SetReadDeadline(deadline)
		return awaitEcho(conn, dst, id), sendErr
	})
	if err != nil {
		return fmt.Errorf("ping %s from %s: %w", dst, n.name, err)
	}
	return nil
}

// probe repeats try until it succeeds or ctx ends.
func probe(ctx context.Context, try func(seq uint16, deadline time.Time) (bool, error)) error {
	for seq := uint16(1); ; seq++ {
		deadline := time.Now().Add(probeInterval)
		ok, err := try(seq, deadline)
		if ok {
			return nil
		}
		timer := time.NewTimer(time.Until(deadline))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(fmt.Errorf("no answer to %d probes: %w", seq, context.Cause(ctx)), err)
		}
	}
}

func echoRequest(id, seq uint16) []byte {
	b := make([]byte, 16)
	b[0] = 8 // echo request
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], seq)
	binary.BigEndian.PutUint16(b[2:], ether.Checksum(b))
	return b
}

// awaitEcho reads until the answer or the connection's deadline.
func awaitEcho(conn net.PacketConn, from netip.Addr, id uint16) bool {
	buf := make([]byte, 2048)
	for {
		n, src, err := conn.ReadFrom(buf)
		if err != nil {
			return false
		}
		ip, ok := src.(*net.IPAddr)
		if ok && n >= 8 && buf[0] == 0 && ip.IP.Equal(from.AsSlice()) && binary.BigEndian.Uint16(buf[4:]) == id {
			return true
		}
	}
}

// ARP asks who has an address, from an interface of the namespace, until
// somebody answers or ctx ends, and returns the first answer's MAC.
func (n *Netns) ARP(ctx context.Context, iface string, target netip.Addr) (net.HardwareAddr, error) {
	nic, sock, err := n.packetSocket(iface)
	if err != nil {
		return nil, err
	}
	defer sock.Close()
	ask := ether.ARPFrame(ether.Broadcast(), nic.mac, ether.ARP{
		Op: ether.ARPRequest, SenderMAC: nic.mac, SenderIP: nic.addr, TargetIP: target,
	})
	var answer net.HardwareAddr
	err = probe(ctx, func(_ uint16, deadline time.Time) (bool, error) {
		sendErr := sock.Send(ask)
		_ = sock.SetReadDeadline(deadline)
		answer = awaitARP(sock, target)
		return answer != nil, sendErr
	})
	if err != nil {
		return nil, fmt.Errorf("ARP for %s from %s: %w", target, n.name, err)
	}
	return answer, nil
}

func awaitARP(sock *ether.Socket, target netip.Addr) net.HardwareAddr {
	for {
		f, err := sock.Recv()
		if err != nil {
			return nil
		}
		if a, ok := f.ARP(); ok && !f.Outgoing && a.SenderIP == target {
			return a.SenderMAC
		}
	}
}

// nic is what a packet's sender must know of its interface.
type nic struct {
	index int
	mac   net.HardwareAddr
	addr  netip.Addr // 0.0.0.0 if there is none
}

// packetSocket opens a socket that hears everything on the interface.
func (n *Netns) packetSocket(iface string) (nic, *ether.Socket, error) {
	out := nic{addr: netip.IPv4Unspecified()}
	var sock *ether.Socket
	err := n.Do(func() error {
		link, err := net.InterfaceByName(iface)
		if err != nil {
			return fmt.Errorf("interface %s: %w", iface, err)
		}
		out.index, out.mac = link.Index, link.HardwareAddr
		if addrs, err := link.Addrs(); err == nil {
			out.addr = firstIPv4(addrs)
		}
		sock, err = ether.Open(link.Index, ether.All, nil)
		return err
	})
	if err != nil {
		return nic{}, nil, fmt.Errorf("packet socket in %s: %w", n.name, err)
	}
	return out, sock, nil
}

func firstIPv4(addrs []net.Addr) netip.Addr {
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			return p.Addr()
		}
	}
	return netip.IPv4Unspecified()
}
