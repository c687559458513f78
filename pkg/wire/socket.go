package wire

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// receiveBuffer, in bytes, holds the replies to a full window of clients while
// podland is busy with its disk.
const receiveBuffer = 1 << 20

// hearing is what comes to a socket.
type hearing struct {
	filter      []bpf.Instruction
	protocol    uint16
	promiscuous bool
	direct      bool // sends past the link's queue
}

// forDHCP takes ETH_P_ALL, since a socket for ETH_P_IP on a bridge's port hears
// nothing: the bridge takes the frame before that protocol's handlers.
func forDHCP(vid uint16) hearing {
	return hearing{filter: slices.Concat(onVLAN(vid), replies()), protocol: unix.ETH_P_ALL}
}

// fromVeth is forDHCP on the end of a veth.
func fromVeth() hearing {
	what := forDHCP(0)
	what.direct = true
	return what
}

// openSocket opens a packet socket on the link in the calling thread's
// namespace. It is bound last, behind its filter, so that nothing slips in
// unfiltered. The caller closes the file.
func openSocket(name string, what hearing) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	if err := prepare(fd, name, what); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("packet socket on %s: %w", name, err)
	}
	// The descriptor does not block, so a reader waits in the runtime's poller
	// and holds no thread.
	return os.NewFile(uintptr(fd), "packet:"+name), nil
}

func prepare(fd int, name string, what hearing) error {
	index, err := linkIndex(fd, name)
	if err != nil {
		return err
	}
	if err := attach(fd, what.filter); err != nil {
		return err
	}
	if err := options(fd); err != nil {
		return err
	}
	if err := what.join(fd, index); err != nil {
		return err
	}
	addr := &unix.SockaddrLinklayer{Protocol: networkOrder(what.protocol), Ifindex: index}
	if err := unix.Bind(fd, addr); err != nil {
		return fmt.Errorf("bind: %w", noLink(err))
	}
	return nil
}

// join: a NIC is heard whole. The end of a veth is sent from past its queue: the
// kernel sets that up some time after the carrier, and loses without a word what
// comes before.
func (w hearing) join(fd, index int) error {
	if w.promiscuous {
		return joinPromiscuous(fd, index)
	}
	if !w.direct {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil && !errors.Is(err, unix.ENOPROTOOPT) {
		return fmt.Errorf("PACKET_QDISC_BYPASS: %w", err)
	}
	return nil
}

// linkIndex asks in the namespace of the socket, whatever the thread's.
func linkIndex(fd int, name string) (int, error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, fmt.Errorf("name %q: %w", name, err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req); err != nil {
		return 0, fmt.Errorf("index: %w", noLink(err))
	}
	return int(req.Uint32()), nil
}

func options(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
		return fmt.Errorf("PACKET_AUXDATA: %w", err)
	}
	// Linux 4.20. Before, the filter drops most of it: we send no replies.
	err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	if err != nil && !errors.Is(err, unix.ENOPROTOOPT) {
		return fmt.Errorf("PACKET_IGNORE_OUTGOING: %w", err)
	}
	// FORCE passes net.core.rmem_max and takes CAP_NET_ADMIN.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) == nil {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer); err != nil {
		return fmt.Errorf("SO_RCVBUF: %w", err)
	}
	return nil
}

// joinPromiscuous keeps the NIC promiscuous for as long as the socket is open: a
// VLAN-filtering bridge may have taken it out of that (Linux 3.16), and replies
// go to the Pods' MACs.
func joinPromiscuous(fd, index int) error {
	mreq := &unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, mreq); err != nil {
		return fmt.Errorf("promiscuous mode: %w", noLink(err))
	}
	return nil
}

// networkOrder returns a 16-bit number as the kernel wants it in a sockaddr_ll.
func networkOrder(v uint16) uint16 {
	b := [2]byte{byte(v >> 8), byte(v)}
	return nativeUint16(b[:])
}
