package nft

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Event is the kernel's notification of a change, or of a transaction's end
// (NFT_MSG_NEWGEN), which may come many reads later.
type Event struct {
	Kind   uint16 // NFT_MSG_*
	Family byte
	// Port is the netlink port of who changed it.
	Port uint32
	// Table is where; Name the chain of a chain or rule, the set of a set or
	// element.
	Table, Name string
}

// Events are all changes of a network namespace's nftables.
type Events struct {
	file *os.File
	buf  []byte
}

// ErrLost is of events that came too many at once, or that nobody can read:
// anything may have changed.
var ErrLost = errors.New("events of nftables are lost")

// eventRoom is what the kernel keeps for who is slow to read, in bytes: others,
// kube-proxy, reload large tables of their own.
const eventRoom = 1 << 20

// Watch subscribes in the thread's namespace.
func Watch() (*Events, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("watch nftables: %w", err)
	}
	file := os.NewFile(uintptr(fd), "nftables events")
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, eventRoom)      // as far as the kernel lets
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, eventRoom) // with CAP_NET_ADMIN, all of it
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.NFNLGRP_NFTABLES)
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("watch nftables: %w", err)
	}
	return &Events{file: file, buf: make([]byte, 128<<10)}, nil
}

// Close ends the subscription.
func (e *Events) Close() { _ = e.file.Close() }

// Next waits for what changes next, one event at least. ErrLost; ctx's error.
func (e *Events) Next(ctx context.Context) ([]Event, error) {
	if err := e.file.SetReadDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("wait for a change of nftables: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = e.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		n, err := e.file.Read(e.buf)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, unix.ENOBUFS):
			return nil, ErrLost
		case err != nil:
			return nil, fmt.Errorf("wait for a change of nftables: %w", err)
		}
		if all, err := parseEvents(e.buf[:n]); err != nil || len(all) > 0 {
			return all, err
		}
	}
}

func parseEvents(b []byte) ([]Event, error) {
	messages, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return nil, ErrLost
	}
	var all []Event
	for _, m := range messages {
		if m.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES || len(m.Data) < headerSize {
			continue
		}
		ev := Event{Kind: m.Header.Type & 0xff, Family: m.Data[0], Port: m.Header.Pid}
		ev.names(m.Data[headerSize:])
		all = append(all, ev)
	}
	return all, nil
}

// names reads the table, which is the first attribute of every kind but a
// transaction's end, and the name. What cannot be read has none.
func (e *Event) names(attrs []byte) {
	kind := uint16(unix.NFTA_SET_NAME)
	switch e.Kind {
	case unix.NFT_MSG_NEWGEN, unix.NFT_MSG_NEWTABLE, unix.NFT_MSG_DELTABLE:
		kind = 0
	case unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_DELCHAIN:
		kind = unix.NFTA_CHAIN_NAME
	}
	ad, err := netlink.NewAttributeDecoder(attrs)
	if err != nil {
		return
	}
	for ad.Next() {
		switch {
		case e.Kind == unix.NFT_MSG_NEWGEN:
		case ad.Type() == unix.NFTA_TABLE_NAME:
			e.Table = text(ad.Bytes())
		case ad.Type() == kind:
			e.Name = text(ad.Bytes())
		}
	}
}

// text is what stands before the zero byte that ends it.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}
