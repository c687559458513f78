// Package rtnl is the one door to the kernel's links: netlink handles bound to
// a network namespace, retries of interrupted dumps in one place, and a typed
// "not found". It touches only the links, addresses, routes and sysctls that
// its caller names.
package rtnl

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// threadNetns names the namespace of the thread that opens it.
const threadNetns = "/proc/thread-self/ns/net"

// Handle speaks rtnetlink in one network namespace, whichever thread calls it.
// It is safe for concurrent use; the calls of one handle follow each other.
type Handle struct {
	ns  ns.NetNS
	lib *netlink.Handle
	// raw is for the messages that the library cannot make.
	raw map[int]*nl.SocketHandle
}

// Here returns a handle for the namespace of the calling goroutine's thread: a
// caller that has changed its namespace has locked its thread.
func Here() (*Handle, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	h, err := At(threadNetns)
	if err != nil {
		return nil, fmt.Errorf("this network namespace: %w", err)
	}
	return h, nil
}

// At returns a handle for the namespace at path. It needs CAP_SYS_ADMIN unless
// that is the thread's own. The thread is left as it was.
func At(path string) (*Handle, error) {
	netNS, err := ns.GetNS(path)
	if err != nil {
		return nil, fmt.Errorf("open network namespace %s: %w", path, err)
	}
	h := &Handle{ns: netNS}
	if err := h.Do(h.dial); err != nil {
		h.Close()
		return nil, fmt.Errorf("network namespace %s: %w", path, err)
	}
	return h, nil
}

// Close frees the handle's sockets and its hold on the namespace.
func (h *Handle) Close() {
	if h.lib != nil {
		_ = h.lib.Close()
	}
	for _, s := range h.raw {
		_ = s.Close()
	}
	_ = h.ns.Close()
}

// Fd returns a descriptor of the namespace, valid until Close.
func (h *Handle) Fd() int { return int(h.ns.Fd()) }

// Do calls fn in the handle's namespace, on a thread of which fn may not let
// go: sockets that fn opens and files of /proc/sys/net that it writes are the
// namespace's. Without CAP_SYS_ADMIN it works in the thread's own namespace.
func (h *Handle) Do(fn func() error) error {
	runtime.LockOSThread()
	same, err := h.isThreads()
	if err == nil && same {
		defer runtime.UnlockOSThread()
		return fn()
	}
	runtime.UnlockOSThread()
	if err != nil {
		return fmt.Errorf("the thread's network namespace: %w", err)
	}
	return h.ns.Do(func(ns.NetNS) error { return fn() })
}

func (h *Handle) isThreads() (bool, error) {
	var mine, its unix.Stat_t
	if err := unix.Stat(threadNetns, &its); err != nil {
		return false, err
	}
	if err := unix.Fstat(h.Fd(), &mine); err != nil {
		return false, err
	}
	return mine.Ino == its.Ino && mine.Dev == its.Dev, nil
}

func (h *Handle) dial() error {
	lib, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("rtnetlink socket: %w", err)
	}
	// A NIC's virtual functions can be hundreds, in each answer about it.
	h.lib = lib.DisableVFInfoCollection().RetryInterrupted()
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("rtnetlink socket: %w", err)
	}
	// The kernel's own words for a refusal; without them the errno stands alone.
	_ = s.SetExtAck(true)
	h.raw = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}
	return nil
}

// request starts a message of the raw socket.
func (h *Handle) request(kind, flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(kind, flags)
	req.Sockets = h.raw
	req.RetryInterrupted = true
	return req
}

// retry calls fn again while a signal interrupts it or the kernel changed under
// a dump, a bounded number of times: Linux 6.x is busy for milliseconds, not
// for ten dumps in a row.
func retry(fn func() error) error {
	var err error
	for range 10 {
		err = fn()
		if !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	return err
}
