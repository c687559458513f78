package guard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// refused is the kernel's refusal of one message of a batch.
type refused struct {
	message uint16 // NFT_MSG_*
	errno   unix.Errno
}

func (r refused) Error() string { return fmt.Sprintf("nftables, %s: %s", r.what(), r.errno) }

func (r refused) Unwrap() error { return r.errno }

func (r refused) what() string {
	switch r.message {
	case unix.NFT_MSG_NEWTABLE, unix.NFT_MSG_DELTABLE:
		return "the table"
	case unix.NFT_MSG_NEWOBJ:
		return "a counter"
	case unix.NFT_MSG_NEWSET:
		return "a set"
	case unix.NFT_MSG_NEWCHAIN:
		return "a chain"
	case unix.NFT_MSG_NEWRULE:
		return "a rule"
	case unix.NFT_MSG_NEWSETELEM, unix.NFT_MSG_DELSETELEM:
		return "an element"
	}
	return "the transaction"
}

// outcome reads what became of a batch: the first refusal. The kernel has
// answered by the time that it was sent; every message of a batch that failed
// may have an answer, and none may be left for the next batch.
func (s *session) outcome(sent []netlink.Message) error {
	kinds := make(map[uint32]uint16)
	for _, m := range sent {
		if m.Header.Type>>8 == unix.NFNL_SUBSYS_NFTABLES {
			kinds[m.Header.Sequence] = uint16(m.Header.Type) & 0xff
		}
	}
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return err
	}
	answered, failed := false, error(nil)
	read := func(seq uint32, errno unix.Errno) {
		answered = true
		if errno != 0 && failed == nil {
			kind, ok := kinds[seq]
			if !ok {
				kind = ^uint16(0)
			}
			failed = refused{kind, errno}
		}
	}
	var drained error
	err = raw.Control(func(fd uintptr) { drained = drain(int(fd), read) })
	if err = errors.Join(err, drained, failed); err == nil && !answered {
		return errors.New("nftables gave no answer to a transaction")
	}
	return err
}

// drain gives fn each acknowledgement that waits in the socket.
func drain(fd int, fn func(seq uint32, errno unix.Errno)) error {
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
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return err
		}
		for _, m := range messages {
			if m.Header.Type == unix.NLMSG_ERROR && len(m.Data) >= 4 {
				fn(m.Header.Seq, unix.Errno(-int32(binary.NativeEndian.Uint32(m.Data))))
			}
		}
	}
}
