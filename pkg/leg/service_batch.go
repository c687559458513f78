package leg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

type encoder = netlink.AttributeEncoder

// message is one of nftables, and what a kernel lacks that refuses it.
type message struct {
	netlink.Message
	needs string
}

// batch is a transaction: all of its messages hold, or none. google/nftables
// knows no direction of a connection as the kernel does, neither to write nor
// to read it, and does not tell which message was refused.
type batch struct {
	messages []message
	err      error
}

// request is a message about a family's tables.
func request(family byte, kind uint16, flags netlink.HeaderFlags, fill func(*encoder)) (netlink.Message, error) {
	ae := netlink.NewAttributeEncoder()
	ae.ByteOrder = binary.BigEndian
	fill(ae)
	attrs, err := ae.Encode()
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind), Flags: netlink.Request | flags},
		Data:   append(generic(family, 0), attrs...),
	}, err
}

// generic is struct nfgenmsg, which begins every message.
func generic(family byte, resource uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{family, unix.NFNETLINK_V0}, resource)
}

func (b *batch) add(kind uint16, flags netlink.HeaderFlags, needs string, fill func(*encoder)) {
	m, err := request(unix.NFPROTO_IPV4, kind, netlink.Create|flags, fill)
	b.err = errors.Join(b.err, err)
	b.messages = append(b.messages, message{m, needs})
}

// nested is Nested for what cannot fail.
func nested(ae *encoder, kind uint16, fill func(*encoder)) {
	ae.Nested(kind, func(inner *encoder) error {
		fill(inner)
		return nil
	})
}

func (b *batch) rule(r translation) {
	b.add(unix.NFT_MSG_NEWRULE, netlink.Append, r.needs, func(ae *encoder) {
		ae.String(unix.NFTA_RULE_TABLE, tableName)
		ae.String(unix.NFTA_RULE_CHAIN, chainName)
		nested(ae, unix.NFTA_RULE_EXPRESSIONS, func(list *encoder) {
			for _, e := range r.exprs {
				nested(list, unix.NFTA_LIST_ELEM, func(one *encoder) { expression(one, e) })
			}
		})
		ae.Bytes(unix.NFTA_RULE_USERDATA, userdata.AppendString(nil, userdata.TypeComment, r.note))
	})
}

// expression puts name and data of e. All but the connection's, the library
// encodes.
func expression(ae *encoder, e expr.Any) {
	if ct, ok := e.(*expr.Ct); ok {
		ae.String(unix.NFTA_EXPR_NAME, "ct")
		nested(ae, unix.NFTA_EXPR_DATA, func(data *encoder) {
			data.Uint32(unix.NFTA_CT_KEY, uint32(ct.Key))
			data.Uint32(unix.NFTA_CT_DREG, ct.Register)
			data.Uint8(unix.NFTA_CT_DIRECTION, uint8(ct.Direction))
		})
		return
	}
	encoded, err := expr.Marshal(unix.NFPROTO_IPV4, e)
	var attrs []netlink.Attribute
	if err == nil {
		attrs, err = netlink.UnmarshalAttributes(encoded)
	}
	for _, a := range attrs {
		ae.Bytes(a.Type, a.Data)
	}
	if err != nil {
		ae.Do(0, func() ([]byte, error) { return nil, err })
	}
}

// sealed returns the batch between the messages that begin and end it. Only the
// last message asks to be acknowledged: a failure is told anyway.
func (b *batch) sealed() []netlink.Message {
	mark := func(kind netlink.HeaderType) netlink.Message {
		return netlink.Message{
			Header: netlink.Header{Type: kind, Flags: netlink.Request},
			Data:   generic(unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES),
		}
	}
	sealed := []netlink.Message{mark(unix.NFNL_MSG_BATCH_BEGIN)}
	for _, m := range b.messages {
		sealed = append(sealed, m.Message)
	}
	sealed[len(sealed)-1].Header.Flags |= netlink.Acknowledge
	return append(sealed, mark(unix.NFNL_MSG_BATCH_END))
}

// refused is the kernel's refusal of a message.
type refused struct {
	errno unix.Errno
	needs string
}

func (r refused) Error() string { return "nftables: " + r.errno.Error() }

func (r refused) Unwrap() error { return r.errno }

// send sends the batch. The kernel has answered by the time that it was sent.
func (b *batch) send(conn *netlink.Conn) error {
	if b.err != nil || len(b.messages) == 0 {
		return b.err
	}
	sent, err := conn.SendMessages(b.sealed())
	if err != nil {
		return err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	failed := errors.New("nftables gave no answer to a transaction")
	first := sent[1].Header.Sequence
	var drained error
	err = raw.Control(func(fd uintptr) {
		failed, drained = b.outcome(int(fd), first, failed)
	})
	return errors.Join(err, drained, failed)
}

// outcome reads what waits in the socket: the first refusal, nil for the
// acknowledgement alone, none if there is no answer.
func (b *batch) outcome(fd int, first uint32, none error) (failed, err error) {
	buf := make([]byte, 64<<10)
	for failed = none; ; {
		n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return failed, nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return failed, err
		}
		answers, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return failed, fmt.Errorf("answer of nftables: %w", err)
		}
		for _, m := range answers {
			if m.Header.Type != unix.NLMSG_ERROR || len(m.Data) < 4 {
				continue
			}
			errno := unix.Errno(-int32(binary.NativeEndian.Uint32(m.Data)))
			switch {
			case errno != 0 && (failed == nil || errors.Is(failed, none)):
				failed = refused{errno, b.needed(m.Header.Seq - first)}
			case errno == 0 && errors.Is(failed, none):
				failed = nil
			}
		}
	}
}

func (b *batch) needed(i uint32) string {
	if int(i) < len(b.messages) {
		return b.messages[i].needs
	}
	return ""
}
