package ether

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Socket is a packet socket (packet(7)). It stays in the namespace of the
// thread that opened it. Safe for concurrent use.
type Socket struct {
	file *os.File
	link int
}

// Open opens a socket that hears the ethertype (All: everything, both ways) on
// the interface, 0 for every interface. Must run on a thread that is in the
// namespace. The filter, if not nil, holds from the first frame on.
func Open(ifIndex int, etherType uint16, filter []bpf.Instruction) (*Socket, error) {
	// Protocol 0: nothing is heard before bind, when the filter is in place.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	if err := prepare(fd, filter); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(etherType), Ifindex: ifIndex}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("bind a packet socket to interface %d: %w", ifIndex, err)
	}
	return &Socket{file: os.NewFile(uintptr(fd), "packet"), link: ifIndex}, nil
}

func prepare(fd int, filter []bpf.Instruction) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
		return fmt.Errorf("packet socket: ask for VLAN tags: %w", err)
	}
	// Best effort: a burst of hundreds of clients must not be lost here.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	if filter == nil {
		return nil
	}
	raw, err := bpf.Assemble(filter)
	if err != nil {
		return fmt.Errorf("packet socket: filter: %w", err)
	}
	prog := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		prog[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	fprog := &unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, fprog); err != nil {
		return fmt.Errorf("packet socket: attach filter: %w", err)
	}
	return nil
}

// Recv waits for the next frame. It returns os.ErrClosed after Close and
// os.ErrDeadlineExceeded after the deadline.
func (s *Socket) Recv() (Frame, error) {
	conn, err := s.file.SyscallConn()
	if err != nil {
		return Frame{}, fmt.Errorf("packet socket: %w", err)
	}
	buf, oob := make([]byte, 65536), make([]byte, 128)
	var n, oobn int
	var from unix.Sockaddr
	var recvErr error
	err = conn.Read(func(fd uintptr) bool {
		n, oobn, _, from, recvErr = unix.Recvmsg(int(fd), buf, oob, 0)
		return recvErr != unix.EAGAIN && recvErr != unix.EINTR
	})
	switch {
	case err == nil:
		err = recvErr
	case !errors.Is(err, os.ErrDeadlineExceeded):
		// A raw connection names its end by an error of package poll.
		err = os.ErrClosed
	}
	if err != nil {
		return Frame{}, fmt.Errorf("receive a frame: %w", err)
	}
	return assemble(append([]byte(nil), buf[:n]...), oob[:oobn], from)
}

func assemble(b, oob []byte, from unix.Sockaddr) (Frame, error) {
	f, err := Parse(b)
	if err != nil {
		return Frame{}, err
	}
	f.At = time.Now()
	taken := takenTag(oob)
	f.TPID, f.VID, f.PCP = taken.TPID, taken.VID, taken.PCP
	if link, ok := from.(*unix.SockaddrLinklayer); ok {
		f.IfIndex = link.Ifindex
		f.Outgoing = link.Pkttype == unix.PACKET_OUTGOING
		f.OtherHost = link.Pkttype == unix.PACKET_OTHERHOST
	}
	return f, nil
}

// Send puts a whole frame on the wire of the socket's interface.
func (s *Socket) Send(frame []byte) error {
	if _, err := s.file.Write(frame); err != nil {
		return fmt.Errorf("send a frame: %w", err)
	}
	return nil
}

// SetReadDeadline ends a Recv that waits; the zero time means never.
func (s *Socket) SetReadDeadline(t time.Time) error {
	return s.file.SetReadDeadline(t)
}

// Close ends the socket and every Recv on it.
func (s *Socket) Close() error { return s.file.Close() }
