package daemon

import (
	"errors"
	"io/fs"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/boottime"
	"github.com/podlan/podlan/pkg/lease"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
)

// byRecord asks the attachment's record: "ready" is podlan-bridge's word that
// the ADD has finished.
func byRecord(store *attachment.Store, bootID string, key attachment.Key) lease.Verdict {
	rec, err := store.Get(key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return lease.Refuted
	case err != nil:
		return lease.Wait
	}
	switch attachment.FateOf(rec, bootID, boottime.Now()) {
	case attachment.Abandoned:
		return lease.Refuted
	case attachment.Orphaned:
		// No DEL has come for it; that may still happen, and then finds the
		// lease. After a reboot it is nobody's.
		if rec.BootID != bootID {
			return lease.Refuted
		}
	case attachment.Alive:
	}
	if rec.State != attachment.Ready {
		return lease.Wait
	}
	return lease.Confirmed
}

// byAddress asks the Pod's interface, for main plugins that are not ours.
// Without Pod access it can only tell whether the namespace is still there;
// doubt is in the lease's favour.
func byAddress(netns, ifName string, address netip.Prefix) lease.Verdict {
	if _, err := pod.NetnsInode(netns); errors.Is(err, fs.ErrNotExist) {
		return lease.Refuted
	}
	h, err := rtnl.At(netns)
	if err != nil {
		return lease.Confirmed
	}
	defer h.Close()
	link, err := h.Link(ifName)
	if errors.Is(err, rtnl.ErrNotFound) {
		return lease.Refuted
	}
	if err != nil {
		return lease.Confirmed
	}
	addrs, err := h.Addrs(link.Attrs().Index)
	if err != nil {
		return lease.Confirmed
	}
	if slices.ContainsFunc(addrs, hasPrefix(address)) {
		return lease.Confirmed
	}
	return lease.Refuted
}

func hasPrefix(p netip.Prefix) func(netlink.Addr) bool {
	return func(a netlink.Addr) bool { return a.IPNet.String() == p.String() }
}
