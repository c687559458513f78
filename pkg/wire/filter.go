package wire

import (
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const keepBytes = 1 << 18

// replies lets pass what may be a DHCP reply: IPv4, UDP, no fragment, to port
// 68, op BOOTREPLY. It runs in the kernel, so that a busy LAN costs podland
// nothing. A load behind the frame's end drops it.
func replies() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherIPv4, SkipTrue: 10},
		bpf.LoadAbsolute{Off: etherLen + 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protoUDP, SkipTrue: 8},
		bpf.LoadAbsolute{Off: etherLen + 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: fragmentMask, SkipTrue: 6},
		bpf.LoadMemShift{Off: etherLen}, // X: the IPv4 header's length in bytes
		bpf.LoadIndirect{Off: etherLen + 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: clientPort, SkipTrue: 3},
		bpf.LoadIndirect{Off: etherLen + udpLen, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: bootReply, SkipTrue: 1},
		bpf.RetConstant{Val: keepBytes},
		bpf.RetConstant{Val: 0},
	}
}

// nothing drops all: the filter of a socket that only has to be there.
func nothing() []bpf.Instruction { return []bpf.Instruction{bpf.RetConstant{Val: 0}} }

// attach makes prog the socket's filter.
func attach(fd int, prog []bpf.Instruction) error {
	raw, err := bpf.Assemble(prog)
	if err != nil {
		return fmt.Errorf("assemble the filter: %w", err)
	}
	code := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		code[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	fprog := &unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, fprog); err != nil {
		return fmt.Errorf("attach the filter: %w", err)
	}
	return nil
}
