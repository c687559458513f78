package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Conn is a socket to the nftables of a network namespace, for one goroutine at a
// time. After an error that is no *RefusedError it is not used again: an answer may
// be left in it.
type Conn struct {
	nl       *netlink.Conn
	port     uint32
	messages uint64
}

// Dial opens a socket in the thread's namespace. room is what a batch may take, in
// bytes; the kernel takes memory only for what is sent.
func Dial(room int) (*Conn, error) {
	nl, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(nl.SetWriteBuffer(room), nl.SetReadBuffer(room)); err != nil {
		return nil, errors.Join(err, nl.Close())
	}
	return newConn(nl), nil
}

// newConn uses a socket that is open.
func newConn(nl *netlink.Conn) *Conn { return &Conn{nl: nl} }

// Close waits, about 10 ms, until the kernel has freed what was removed before.
func (c *Conn) Close() error { return c.nl.Close() }

// Port is the netlink port that the last batch came from, by which Events tell who
// changed something; 0 before the first.
func (c *Conn) Port() uint32 { return c.port }

// Messages is how many messages were sent: of batches, with those that begin and
// end them, and questions.
func (c *Conn) Messages() uint64 { return c.messages }

// Send sends the batch, unless it is empty. A *RefusedError is the kernel's; nothing
// of the batch holds then.
func (c *Conn) Send(b *Batch) error {
	if b.err != nil || len(b.messages) == 0 {
		return b.err
	}
	sent, err := c.nl.SendMessages(b.sealed())
	if err != nil {
		return err
	}
	c.port = sent[0].Header.PID
	c.messages += uint64(len(sent))
	raw, err := c.nl.SyscallConn()
	if err != nil {
		return err
	}
	// The kernel has answered by the time that it was sent. Every message of a batch
	// that failed may have an answer, and none may be left for the next batch.
	o := b.outcome(sent)
	var drained error
	err = raw.Control(func(fd uintptr) { drained = drain(int(fd), o.read) })
	return errors.Join(err, drained, o.err())
}

// drain gives fn what waits in the socket.
func drain(fd int, fn func([]byte) error) error {
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		}
		if err := fn(buf[:n]); err != nil {
			return err
		}
	}
}

// outcome is what became of a batch.
type outcome struct {
	about    map[uint32]RefusedError // by sequence number, without Errno
	answered bool
	failed   error
}

func (b *Batch) outcome(sent []netlink.Message) *outcome {
	o := &outcome{about: make(map[uint32]RefusedError)}
	for i, m := range b.messages {
		// Before them is the one that begins the batch.
		o.about[sent[i+1].Header.Sequence] = RefusedError{Message: uint16(m.Header.Type) & 0xff, Name: m.name}
	}
	return o
}

// read takes in answers; the first refusal counts.
func (o *outcome) read(b []byte) error {
	answers, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return fmt.Errorf("answer of nftables: %w", err)
	}
	for _, m := range answers {
		if m.Header.Type != unix.NLMSG_ERROR || len(m.Data) < 4 {
			continue
		}
		o.answered = true
		errno := unix.Errno(-int32(binary.NativeEndian.Uint32(m.Data)))
		if errno == 0 || o.failed != nil {
			continue
		}
		refused, ok := o.about[m.Header.Seq]
		if !ok {
			refused.Message = ofNone
		}
		refused.Errno = errno
		o.failed = &refused
	}
	return nil
}

func (o *outcome) err() error {
	if o.failed == nil && !o.answered {
		return errors.New("nftables gave no answer to a transaction")
	}
	return o.failed
}
