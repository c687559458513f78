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
		file, err = subscribe(index)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("watch link %d: %w", index, err)
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

func subscribe(index int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "rtnetlink events")
	if err := attach(fd, index); err != nil {
		_ = file.Close()
		return nil, err
	}
	groups := &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1<<(unix.RTNLGRP_LINK-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1)}
	if err := unix.Bind(fd, groups); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// attach lets through only messages about the link: ifi_index and ifa_index
// stand 4 bytes after the netlink header. A filter loads big-endian, the kernel wrote in the
// machine's order.
func attach(fd, index int) error {
	var host [4]byte
	binary.NativeEndian.PutUint32(host[:], uint32(index))
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: unix.NLMSG_HDRLEN + 4, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(host[:]), SkipFalse: 1},
		bpf.RetConstant{Val: 1 << 16},
		bpf.RetConstant{Val: 0},
	})
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
