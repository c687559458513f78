package guard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Events tells when somebody has changed the table who is not this Guard and
// does not change it as a plugin does.
type Events struct {
	file *os.File
	own  *atomic.Uint32
	seen transaction
	buf  []byte
}

// Watch subscribes to the changes of nftables. Look at the state (Restore) after
// Watch, not before, and again after every Wait. At an Add, Set or Remove of a
// plugin Wait goes on; when one installs the table, it returns.
func (g *Guard) Watch() (*Events, error) {
	e := &Events{own: &g.port, buf: make([]byte, 128<<10)}
	err := g.inside(func() (err error) {
		e.file, err = subscribe()
		return err
	})
	if err != nil {
		return nil, explain(fmt.Errorf("watch nftables: %w", err))
	}
	return e, nil
}

// eventRoom is what the kernel keeps for who is slow to read, in bytes: others
// may reload large tables of their own.
const eventRoom = 1 << 20

func subscribe() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
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
		return nil, err
	}
	return file, nil
}

// Wait returns when the table may not be as it was, or with ctx's error. What
// was lost because too much came at once counts as a change.
func (e *Events) Wait(ctx context.Context) error {
	if err := e.file.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("wait for a change of nftables: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = e.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		n, err := e.file.Read(e.buf)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, unix.ENOBUFS):
			e.seen = transaction{}
			return nil
		case err != nil:
			return fmt.Errorf("wait for a change of nftables: %w", err)
		}
		if e.read(e.buf[:n]) {
			return nil
		}
	}
}

// Close ends the subscription.
func (e *Events) Close() { _ = e.file.Close() }

// read takes in messages; a transaction ends with the message of its
// generation, and may span many reads.
func (e *Events) read(b []byte) (changed bool) {
	messages, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return true // whatever it was, look
	}
	for _, m := range messages {
		if m.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES || len(m.Data) < 4 {
			continue
		}
		kind := m.Header.Type & 0xff
		if kind == unix.NFT_MSG_NEWGEN {
			changed = changed || e.seen.foreign()
			e.seen = transaction{}
			continue
		}
		if m.Data[0] == unix.NFPROTO_BRIDGE && m.Header.Pid != e.own.Load() {
			e.seen.note(kind, m.Data)
		}
	}
	return changed
}

// transaction is what one has done to the table so far.
type transaction struct {
	structure bool // the table, a chain, a rule, a set
	removed   bool // elements of sets that rules look at, or notes
	notePut   bool // in the set of ports
}

// foreign: plugins touch elements only, and put a note whenever they remove some,
// if only the one of a farewell.
func (t *transaction) foreign() bool { return t.structure || t.removed && !t.notePut }

func (t *transaction) note(kind uint16, data []byte) {
	table, set := names(data)
	if table != tableName {
		return
	}
	switch kind {
	case unix.NFT_MSG_NEWSETELEM:
		t.notePut = t.notePut || strings.HasPrefix(set, setPortsPrefix)
	case unix.NFT_MSG_DELSETELEM:
		t.removed = t.removed || set != setDrops
	case unix.NFT_MSG_NEWOBJ, unix.NFT_MSG_DELOBJ:
	default:
		t.structure = true
	}
}

// names returns a message's table, which is the first attribute of every kind,
// and of an element its set.
func names(data []byte) (table, set string) {
	_ = attributes(data, func(ad *netlink.AttributeDecoder) error {
		for ad.Next() {
			switch ad.Type() {
			case unix.NFTA_SET_ELEM_LIST_TABLE:
				table = ad.String()
			case unix.NFTA_SET_ELEM_LIST_SET:
				if raw := ad.Bytes(); len(raw) > 0 {
					set = strings.TrimRight(string(raw), "\x00")
				}
			}
		}
		return nil
	})
	return table, set
}
