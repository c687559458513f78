package wire

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrNoLink says that there is no such link in the namespace, or no more.
var ErrNoLink = errors.New("no such link")

const (
	// maxFrame, in bytes, is more than any link that carries DHCP takes at once.
	maxFrame = 16 << 10
	// maxControl is room for the auxiliary data, in bytes.
	maxControl = 128
)

// Conn hears DHCP replies on one link and sends DHCP requests from it. It is safe
// for concurrent use.
type Conn struct {
	file   *os.File
	raw    syscall.RawConn
	vid    uint16 // of what is sent and heard; 0: without a tag
	frames atomic.Uint64

	receiving sync.Mutex // guards frame and control
	frame     []byte
	control   []byte

	// release lets go of what was opened beside the socket.
	release func() error
}

// OpenUplink opens the link in the calling thread's namespace and keeps it
// promiscuous until Close: replies to every MAC are heard. With a VLAN ID, 1 to
// 4094, messages leave with that 802.1Q tag, and only replies with exactly it are
// heard; with 0 they leave without, and only replies are heard that bear none, or
// one with a priority alone. ErrNoLink if the link is missing; one that is down is
// none the worse.
func OpenUplink(name string, vid uint16) (*Conn, error) {
	if err := checkVID(vid); err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	what := forDHCP(vid)
	what.promiscuous = true
	file, err := openSocket(name, what)
	if err != nil {
		return nil, err
	}
	return newConn(file, vid, nothingMore)
}

func nothingMore() error { return nil }

// newConn takes over the file, and release, which it calls after Close or at
// once if it fails.
func newConn(file *os.File, vid uint16, release func() error) (*Conn, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("packet socket: %w", err), file.Close(), release())
	}
	return &Conn{
		file:    file,
		raw:     raw,
		vid:     vid,
		release: release,
		frame:   make([]byte, maxFrame),
		control: make([]byte, maxControl),
	}, nil
}

// Receive waits for the next DHCP reply and passes over all else: other VLANs,
// fragments, wrong checksums. It goes on over a link that goes down and comes up
// again; one that was removed is silent for good, and Send says so. After Close
// it returns net.ErrClosed.
func (c *Conn) Receive() (Message, error) {
	c.receiving.Lock()
	defer c.receiving.Unlock()
	for {
		frame, aux, err := c.next()
		if err != nil {
			return Message{}, fmt.Errorf("receive from %s: %w", c.file.Name(), err)
		}
		if m, ok := parse(frame, !aux.partial); ok && aux.on(c.vid) {
			c.frames.Add(1)
			m.Payload = append([]byte(nil), m.Payload...)
			return m, nil
		}
	}
}

// next returns the next frame, nil for one that is lost.
func (c *Conn) next() (frame []byte, aux auxiliary, err error) {
	var n, oobn, flags int
	waitErr := c.raw.Read(func(fd uintptr) bool {
		n, oobn, flags, _, err = unix.Recvmsg(int(fd), c.frame, c.control, 0)
		return !errors.Is(err, unix.EAGAIN)
	})
	switch {
	case waitErr != nil:
		// The poller's only reason, under a name that it keeps to itself.
		return nil, auxiliary{}, net.ErrClosed
	case transient(err), err == nil && flags&unix.MSG_TRUNC != 0:
		return nil, auxiliary{}, nil
	case err != nil:
		return nil, auxiliary{}, os.NewSyscallError("recvmsg", err)
	}
	return c.frame[:n], readAuxiliary(c.control[:oobn]), nil
}

// transient: the kernel reports once that the link went down or that frames were
// lost, and goes on.
func transient(err error) bool {
	for _, e := range [...]unix.Errno{unix.ENETDOWN, unix.ENOBUFS, unix.ENOMEM, unix.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Send puts one frame on the wire, past the bridge's own rules. The kernel's
// reason is in the error: unix.ENETDOWN while the link is down, unix.ENOBUFS
// when its queue is full, unix.EMSGSIZE. ErrNoLink if it was removed,
// net.ErrClosed after Close.
func (c *Conn) Send(d Datagram) error {
	frame, err := d.frame()
	if err != nil {
		return err
	}
	return c.write(frame)
}

func (c *Conn) write(frame []byte) error {
	frame = tag(frame, c.vid)
	_, err := c.file.Write(frame)
	if errors.Is(err, unix.ENETDOWN) {
		// It may be the report of a time that has passed, which nobody has
		// received yet; the next answer is about now.
		_, err = c.file.Write(frame)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrClosed):
		err = net.ErrClosed
	}
	return fmt.Errorf("send from %s: %w", c.file.Name(), noLink(err))
}

// Frames returns how many DHCP replies Receive has heard so far, to whomever.
func (c *Conn) Frames() uint64 { return c.frames.Load() }

// Close ends Receive and lets go of all that Open made. A second call returns
// net.ErrClosed.
func (c *Conn) Close() error {
	if err := c.file.Close(); err != nil {
		if errors.Is(err, os.ErrClosed) {
			err = net.ErrClosed
		}
		return fmt.Errorf("close %s: %w", c.file.Name(), err)
	}
	return c.release()
}

// noLink adds ErrNoLink to the errors by which the kernel says so.
func noLink(err error) error {
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("%w: %w", ErrNoLink, err)
	}
	return err
}
