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
// ends: the rate of two, pinned or not, changes by a factor of two with what else
// the machine does. The receiver does not copy the bytes.
type stream struct {
	files    []*os.File
	from, to int
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
	if s.files, err = sockets(out, in); err != nil {
		return nil, err
	}
	s.from, s.to = int(s.files[0].Fd()), int(s.files[1].Fd())
	segment, err := unix.GetsockoptInt(s.from, unix.IPPROTO_TCP, unix.TCP_MAXSEG)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	// Whole frames: a stream that is limited by the wire has few others.
	s.chunk = make([]byte, 2*(frameBytes/segment*segment))
	return s, nil
}

// sockets takes them out of connections, as files.
func sockets(conns ...net.Conn) (files []*os.File, err error) {
	for _, c := range conns {
		held, ok := c.(interface{ File() (*os.File, error) })
		if !ok {
			return nil, errors.Join(fmt.Errorf("a connection of %T", c), closeAll(files))
		}
		f, err := held.File()
		if err != nil {
			return nil, errors.Join(err, closeAll(files))
		}
		files = append(files, f)
	}
	return files, nil
}

func closeAll(files []*os.File) (err error) {
	for _, f := range files {
		err = errors.Join(err, f.Close())
	}
	return err
}

func (s *stream) close() error { return closeAll(s.files) }

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
	sent, err := unix.SendmsgN(s.from, s.chunk, nil, nil, unix.MSG_DONTWAIT)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return 0, err
	}
	got, _, err := unix.Recvfrom(s.to, s.chunk, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return 0, err
	}
	if sent <= 0 && got <= 0 {
		// A thread of the kernel has them, which waits for this one.
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(s.to), Events: unix.POLLIN}}, 1)
		return 0, err
	}
	return max(got, 0), nil
}

// flow is datagrams from a Pod to the LAN.
type flow struct {
	host    *lab.Host
	files   []*os.File
	from    int
	payload []byte
}

// newFlow: nobody reads the other end, which is there for the host not to answer.
func newFlow(ctx context.Context, pod *lab.Netns, host *lab.Host) (*flow, error) {
	f := &flow{host: host, payload: make([]byte, datagramBytes)}
	var to *net.UDPConn
	err := host.Do(func() (err error) {
		to, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(host.Addr.Addr(), 0)))
		return err
	})
	if err != nil {
		return nil, err
	}
	defer to.Close()
	out, err := pod.Dial(ctx, "udp4", to.LocalAddr().String())
	if err != nil {
		return nil, err
	}
	defer out.Close()
	if f.files, err = sockets(out, to); err != nil {
		return nil, err
	}
	f.from = int(f.files[0].Fd())
	return f, nil
}

func (f *flow) close() error { return closeAll(f.files) }

// rate sends some, and returns how many thousands of them arrive a second. A veth
// has each at the host before the sender's call returns.
func (f *flow) rate() (float64, error) {
	before, err := received(f.host)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	for range datagrams {
		if err := unix.Send(f.from, f.payload, 0); err != nil {
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
