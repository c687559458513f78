package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"github.com/podlan/podlan/pkg/lease"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
)

// foreign has Pods of other main plugins follow their leases: their ports are
// not ours to close, so the address goes out of the Pod and comes back. Without
// Pod access nothing can be done but to tell. It is safe for concurrent use.
type foreign struct {
	pods  bool // Pod access
	log   *slog.Logger
	count func(event string)

	mu sync.Mutex
	// withdrawn are the addresses that Pods do not have any more, or that could
	// not be taken from them.
	withdrawn map[leaseapi.Key]netip.Prefix
	looked    bool // an earlier podland may have been killed in between
}

// follow brings one Pod in line with its lease.
func (f *foreign) follow(ctx context.Context, h lease.Held, l leaseapi.Lease) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	was, gone := f.withdrawn[l.Key]
	switch l.State {
	case leaseapi.StateLost:
		if gone {
			return nil
		}
		return f.withdraw(ctx, h, l)
	case leaseapi.StateBound, leaseapi.StateRenewing, leaseapi.StateRebinding:
		if gone || !f.looked && f.pods && !bears(h.Request.Netns, l) {
			return f.restore(ctx, h, l, was)
		}
	case leaseapi.StateAcquiring, leaseapi.StatePending: // nobody's yet
	}
	return nil
}

func (f *foreign) withdraw(ctx context.Context, h lease.Held, l leaseapi.Lease) error {
	if f.pods {
		if err := pod.Readdress(ctx, h.Request.Netns, l.IfName, []netip.Prefix{l.Address}, pod.IPConfig{}); err != nil {
			return fmt.Errorf("take %s from the Pod: %w", l.Address, err)
		}
		f.count("closed")
	}
	if f.withdrawn == nil {
		f.withdrawn = map[leaseapi.Key]netip.Prefix{}
	}
	f.withdrawn[l.Key] = l.Address
	f.log.Warn("address of a Pod of another main plugin lost", "key", l.Key.String(), "address", l.Address.String(), "reason", l.Reason, "withdrawn", f.pods)
	return nil
}

func (f *foreign) restore(ctx context.Context, h lease.Held, l leaseapi.Lease, was netip.Prefix) error {
	if f.pods {
		var former []netip.Prefix
		if was.IsValid() {
			former = append(former, was)
		}
		if err := pod.Readdress(ctx, h.Request.Netns, l.IfName, former, leasedConfig(l, h.Request.RoutePriority)); err != nil {
			return fmt.Errorf("give the Pod %s: %w", l.Address, err)
		}
		f.count("opened")
		f.log.Info("the Pod has its address again", "key", l.Key.String(), "address", l.Address.String())
	}
	delete(f.withdrawn, l.Key)
	return nil
}

// all has every Pod of another main plugin follow its lease.
func (f *foreign) all(ctx context.Context, held []lease.Held, leased map[leaseapi.Key]leaseapi.Lease, report func(what string, err error)) {
	for _, h := range held {
		if l, ok := leased[h.Key]; ok && h.Request.Confirm == leaseapi.ByAddress {
			report("address of "+h.Key.String(), f.follow(ctx, h, l))
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked = true
	for key := range f.withdrawn {
		if _, ok := leased[key]; !ok {
			delete(f.withdrawn, key)
		}
	}
}

// bears tells whether the Pod has its leased address. Doubt says so.
func bears(netns string, l leaseapi.Lease) bool {
	h, err := rtnl.At(netns)
	if err != nil {
		return true
	}
	defer h.Close()
	link, err := h.Link(l.IfName)
	if err != nil {
		return true
	}
	addrs, err := h.Addrs(link.Attrs().Index)
	return err != nil || slices.ContainsFunc(addrs, hasPrefix(l.Address))
}
