package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab"
)

const (
	// streamWindow is how long a stream runs between two looks at the clock.
	streamWindow = 10 * time.Millisecond
	// frameBytes is what the largest frame of TCP takes, which the kernel cuts
	// into segments late (GSO), if at all. Two are sent at once.
	frameBytes = 64<<10 - 1
	// datagrams of so many bytes are sent between two looks at the clock.
	datagrams, datagramBytes = 500, 64
)

// stream is a TCP connection from a Pod to the LAN, of which one thread has both
// ends: what a rate of two would owe to where the scheduler has put them, and to
// what else the machine does, is left out. The receiver looks at no byte.
type stream struct {
	from, to *os.File
	chunk    []byte
}

func newStream(ctx context.Context, pod *lab.Netns, host *lab.Host) (*stream, error) {
	l, err := host.Listen(ctx, "tcp4", netip.AddrPortFrom(host.Addr.Addr(), 0).String())
	if err != nil {
		return nil, err
	}
	defer l.Close()
	out, err := pod.Dial(ctx, "tcp4", l.Addr().String())
	if err != nil {
		return nil, err
	}
	defer out.Close()
	in, err := l.Accept()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	s := &stream{}
	if s.from, err = socket(out); err != nil {
		return nil, err
	}
	if s.to, err = socket(in); err != nil {
		return nil, errors.Join(err, s.from.Close())
	}
	segment, err := unix.GetsockoptInt(int(s.from.Fd()), unix.IPPROTO_TCP, unix.TCP_MAXSEG)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	// Whole frames: a stream that is limited by the wire has no others.
	s.chunk = make([]byte, 2*(frameBytes/segment*segment))
	return s, nil
}

// socket takes a socket out of a connection.
func socket(c net.Conn) (*os.File, error) {
	switch c := c.(type) {
	case *net.TCPConn:
		return c.File()
	case *net.UDPConn:
		return c.File()
	}
	return nil, fmt.Errorf("a connection of %T", c)
}

func (s *stream) close() error { return errors.Join(s.from.Close(), s.to.Close()) }

// rate lets it run for a moment, and returns its rate in Gbit/s.
func (s *stream) rate() (float64, error) {
	began, bytes := time.Now(), 0
	for {
		n, err := s.step()
		if err != nil {
			return 0, fmt.Errorf("stream: %w", err)
		}
		bytes += n
		if took := time.Since(began); took >= streamWindow {
			return 8 * float64(bytes) / float64(took.Nanoseconds()), nil
		}
	}
}

// step sends what can be sent, and receives what has arrived.
func (s *stream) step() (int, error) {
	sent, err := unix.SendmsgN(int(s.from.Fd()), s.chunk, nil, nil, unix.MSG_DONTWAIT)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return 0, err
	}
	got, _, err := unix.Recvfrom(int(s.to.Fd()), s.chunk, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return 0, err
	}
	if sent <= 0 && got <= 0 {
		// A thread of the kernel has them, which waits for this one.
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(s.to.Fd()), Events: unix.POLLIN}}, 1)
		return 0, err
	}
	return max(got, 0), nil
}

// flow is datagrams from a Pod to the LAN.
type flow struct {
	host    *lab.Host
	from    *os.File
	to      net.PacketConn
	payload []byte
}

func newFlow(ctx context.Context, pod *lab.Netns, host *lab.Host) (*flow, error) {
	f := &flow{host: host, payload: make([]byte, datagramBytes)}
	err := host.Do(func() (err error) {
		f.to, err = (&net.ListenConfig{}).ListenPacket(ctx, "udp4", netip.AddrPortFrom(host.Addr.Addr(), 0).String())
		return err
	})
	if err != nil {
		return nil, err
	}
	out, err := pod.Dial(ctx, "udp4", f.to.LocalAddr().String())
	if err != nil {
		return nil, errors.Join(err, f.to.Close())
	}
	defer out.Close()
	if f.from, err = socket(out); err != nil {
		return nil, errors.Join(err, f.to.Close())
	}
	return f, nil
}

func (f *flow) close() error { return errors.Join(f.from.Close(), f.to.Close()) }

// rate sends some, and returns how many thousands of them a second arrive. Nobody
// reads them: the socket is there for the host not to answer.
func (f *flow) rate() (float64, error) {
	before, err := received(f.host)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	for range datagrams {
		if err := unix.Send(int(f.from.Fd()), f.payload, 0); err != nil {
			return 0, fmt.Errorf("datagrams: %w", err)
		}
	}
	took := time.Since(began)
	after, err := received(f.host)
	// Others send to the host too.
	return 1e6 * float64(min(after-before, datagrams)) / float64(took.Nanoseconds()), err
}

// received counts the frames that have come in by the host's NIC.
func received(host *lab.Host) (uint64, error) {
	h, err := host.Netlink()
	if err != nil {
		return 0, err
	}
	link, err := h.LinkByName(host.Iface)
	if err != nil {
		return 0, fmt.Errorf("NIC of %s: %w", host.Name(), err)
	}
	return link.Attrs().Statistics.RxPackets, nil
}
