package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
)

const (
	// loopWindow is how many clients of the bare loop are under way at once,
	// loopRetry when an unanswered message is sent again (RFC 2131 §4.1).
	loopWindow = 32
	loopRetry  = 4 * time.Second
	// loopTick is how often it looks for one.
	loopTick = 100 * time.Millisecond
)

// loopState is how far a client of the bare loop is.
type loopState int

const (
	discovering loopState = iota
	requesting
	bound
)

// loop is the simplest client that gets many leases: one socket, one goroutine,
// a window. It stores nothing, checks nothing and answers nobody; what takes
// longer than this does so for a reason of its own.
type loop struct {
	sock    *ether.Socket
	xid     uint32 // the first client's; the others' follow
	clients []*loopClient
	// begun and done count clients; those between are under way.
	begun, done int
	// resent counts what was lost, or answered after loopRetry.
	resent int
	looked time.Time // for what has waited too long
}

type loopClient struct {
	mac   [6]byte
	state loopState
	addr  netip.Addr
	last  []byte // the frame that waits for an answer
	again time.Time
}

// newLoop opens the socket on an interface of the namespace.
func newLoop(ns *lab.Netns, iface string) (*loop, error) {
	l := &loop{xid: rand.Uint32() &^ 0xffff}
	err := ns.Do(func() error {
		link, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		l.sock, err = ether.Open(link.Index, ether.All, ether.UDPTo(dhcpv4.ClientPort))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("bare loop: %w", err)
	}
	return l, nil
}

// run returns when every client has an address, or ctx ends.
func (l *loop) run(ctx context.Context) error {
	for l.done < len(l.clients) && ctx.Err() == nil {
		for l.begun < len(l.clients) && l.begun-l.done < loopWindow {
			if err := l.send(l.begun, dhcpv4.MessageTypeDiscover); err != nil {
				return err
			}
			l.begun++
		}
		if err := l.sock.SetReadDeadline(time.Now().Add(loopTick)); err != nil {
			return fmt.Errorf("bare loop: %w", err)
		}
		f, err := l.sock.Recv()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			return fmt.Errorf("bare loop: %w", err)
		default:
			if err := l.handle(f); err != nil {
				return err
			}
		}
		if err := l.resend(); err != nil {
			return err
		}
	}
	return nil
}

// handle takes an OFFER or an ACK.
func (l *loop) handle(f ether.Frame) error {
	m, ok := f.DHCP()
	if !ok || f.Outgoing || m.OpCode != dhcpv4.OpcodeBootReply {
		return nil
	}
	i := int(xidOf(m) - l.xid)
	if i < 0 || i >= l.begun {
		return nil
	}
	c := l.clients[i]
	switch {
	case c.state == discovering && m.MessageType() == dhcpv4.MessageTypeOffer:
		c.state = requesting
		return l.send(i, dhcpv4.MessageTypeRequest,
			dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(m.YourIPAddr)),
			dhcpv4.WithOption(dhcpv4.OptServerIdentifier(m.ServerIdentifier())))
	case c.state == requesting && m.MessageType() == dhcpv4.MessageTypeAck:
		c.state = bound
		c.addr, _ = netip.AddrFromSlice(m.YourIPAddr.To4())
		l.done++
	case c.state == requesting && m.MessageType() == dhcpv4.MessageTypeNak:
		c.state = discovering
		return l.send(i, dhcpv4.MessageTypeDiscover)
	}
	return nil
}

// resend sends again what has waited too long.
func (l *loop) resend() error {
	now := time.Now()
	if now.Sub(l.looked) < loopTick {
		return nil
	}
	l.looked = now
	for _, c := range l.clients[:l.begun] {
		if c.state != bound && now.After(c.again) {
			c.again = now.Add(loopRetry)
			l.resent++
			if err := l.sock.Send(c.last); err != nil {
				return fmt.Errorf("bare loop: %w", err)
			}
		}
	}
	return nil
}

func (l *loop) send(i int, kind dhcpv4.MessageType, more ...dhcpv4.Modifier) error {
	c := l.clients[i]
	mac := net.HardwareAddr(c.mac[:])
	options := make([]dhcpv4.OptionCode, 0, len(crowdOptions()))
	for _, code := range crowdOptions() {
		options = append(options, dhcpv4.GenericOptionCode(code))
	}
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(mac), dhcpv4.WithTransactionID(xidBytes(l.xid + uint32(i))),
		dhcpv4.WithOption(dhcpv4.OptClientIdentifier(append([]byte{1}, mac...))),
		dhcpv4.WithOption(dhcpv4.OptParameterRequestList(options...)),
	}, more...)...)
	if err != nil {
		return fmt.Errorf("bare loop: %w", err)
	}
	all := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	c.again = time.Now().Add(loopRetry)
	c.last = ether.UDPFrame(ether.Broadcast(), mac, ether.UDP{
		Src:     netip.AddrPortFrom(netip.IPv4Unspecified(), dhcpv4.ClientPort),
		Dst:     netip.AddrPortFrom(all, dhcpv4.ServerPort),
		Payload: m.ToBytes(),
	})
	if err := l.sock.Send(c.last); err != nil {
		return fmt.Errorf("bare loop: %w", err)
	}
	return nil
}

func xidBytes(x uint32) dhcpv4.TransactionID {
	return dhcpv4.TransactionID{byte(x >> 24), byte(x >> 16), byte(x >> 8), byte(x)}
}

func xidOf(m *dhcpv4.DHCPv4) uint32 {
	x := m.TransactionID
	return uint32(x[0])<<24 | uint32(x[1])<<16 | uint32(x[2])<<8 | uint32(x[3])
}
