package rtnl

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Events tells when something about one link or its IPv6 addresses has changed.
type Events struct {
	file *os.File
}

// Watch subscribes to the changes of the link of that index and of its IPv6
// addresses. The kernel
// filters: 200 plugins that each make links do not wake each other. Read the
// state after Watch, not before, and again after every Wait.
func (h *Handle) Watch(index int) (*Events, error) {
	var file *os.File
	err := h.Do(func() (err error) {
		file, err = subscribe(about(index), unix.RTNLGRP_LINK, unix.RTNLGRP_IPV6_IFADDR)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("watch link %d: %w", index, err)
	}
	return &Events{file: file}, nil
}

// WatchBridges subscribes to what holds bridge ports: that links are deleted,
// leave a bridge or have another flag there, and that static entries of a
// forwarding table go. Entries that bridges learn and forget wake nobody.
func (h *Handle) WatchBridges() (*Events, error) {
	var file *os.File
	err := h.Do(func() (err error) {
		file, err = subscribe(aboutBridges(), unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("watch bridges: %w", err)
	}
	return &Events{file: file}, nil
}

// Wait returns when there has been a change since the last Wait, or with ctx's
// error.
func (e *Events) Wait(ctx context.Context) error {
	if err := e.file.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("wait for a link's change: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = e.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 32) // what changed is read from the kernel, not from here
	_, err := e.file.Read(buf)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, unix.ENOBUFS):
		return nil // events were lost: look again
	case err != nil:
		return fmt.Errorf("wait for a link's change: %w", err)
	}
	return nil
}

// Close ends the subscription.
func (e *Events) Close() { _ = e.file.Close() }

func subscribe(filter []bpf.Instruction, groups ...uint) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "rtnetlink events")
	if err := attach(fd, filter); err != nil {
		_ = file.Close()
		return nil, err
	}
	addr := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	for _, group := range groups {
		addr.Groups |= 1 << (group - 1)
	}
	if err := unix.Bind(fd, addr); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// about lets through only messages about the link: ifi_index and ifa_index
// stand 4 bytes after the netlink header.
func about(index int) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: unix.NLMSG_HDRLEN + 4, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: asLoaded32(uint32(index)), SkipFalse: 1},
		bpf.RetConstant{Val: 1 << 16},
		bpf.RetConstant{Val: 0},
	}
}

// aboutBridges lets through any RTM_DELLINK, RTM_NEWLINK of the family AF_BRIDGE
// (a port's flags), and RTM_DELNEIGH of that family in the states NUD_NOARP or
// NUD_PERMANENT, which are the static entries'. nlmsg_type stands 4 bytes into
// the netlink header, the family first after it, ndm_state 8 bytes after it.
func aboutBridges() []bpf.Instruction {
	const family, state = unix.NLMSG_HDRLEN, unix.NLMSG_HDRLEN + 8
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 4, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: asLoaded16(unix.RTM_DELLINK), SkipTrue: 6},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: asLoaded16(unix.RTM_NEWLINK), SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: asLoaded16(unix.RTM_DELNEIGH), SkipTrue: 5},
		bpf.LoadAbsolute{Off: state, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: asLoaded16(unix.NUD_NOARP | unix.NUD_PERMANENT), SkipTrue: 3},
		bpf.LoadAbsolute{Off: family, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.AF_BRIDGE, SkipTrue: 1},
		bpf.RetConstant{Val: 1 << 16},
		bpf.RetConstant{Val: 0},
	}
}

// A filter loads big-endian what the kernel wrote in the machine's order.
func asLoaded32(v uint32) uint32 {
	return binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, v))
}

func asLoaded16(v uint16) uint32 {
	return uint32(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, v)))
}

func attach(fd int, filter []bpf.Instruction) error {
	program, err := bpf.Assemble(filter)
	if err != nil {
		return err
	}
	filters := make([]unix.SockFilter, len(program))
	for i, ins := range program {
		filters[i] = unix.SockFilter{Code: ins.Op, Jt: ins.Jt, Jf: ins.Jf, K: ins.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(filters)), Filter: &filters[0]})
}
