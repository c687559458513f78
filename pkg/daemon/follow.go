package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/statefile"
)

// followAgain is how long a port waits on which a verb is at work.
const followAgain = time.Second

// follower has each port follow its lease: closed when that is lost, open when
// it is back, with another address where the policy says so. It looks at what
// is, not at what has happened, so that nothing is missed and nothing done
// twice.
type follower struct {
	store   *attachment.Store
	gate    attachment.Gate
	foreign *foreign
	leases  leases
	log     *slog.Logger
	count   func(event string)

	wake chan struct{} // buffered: 1
	mu   sync.Mutex
	keys map[leaseapi.Key]bool
}

// changed is the lease keeper's Changed: it neither blocks nor calls back.
func (f *follower) changed(l leaseapi.Lease) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.keys == nil {
		f.keys = map[leaseapi.Key]bool{}
	}
	f.keys[l.Key] = true
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// run follows what has changed until ctx ends.
func (f *follower) run(ctx context.Context) {
	again := time.NewTicker(followAgain)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		case <-again.C:
		}
		for key := range f.take() {
			if err := f.follow(ctx, key); errors.Is(err, statefile.ErrLocked) {
				f.changed(leaseapi.Lease{Key: key})
			} else if err != nil {
				f.log.Error("a port does not follow its lease", "key", key.String(), "error", err)
			}
		}
	}
}

func (f *follower) take() map[leaseapi.Key]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	keys := f.keys
	f.keys = nil
	return keys
}

// follow brings one port in line with its lease; statefile.ErrLocked while a
// verb is at work on it.
func (f *follower) follow(ctx context.Context, key leaseapi.Key) error {
	seen, err := f.store.Get(key)
	if errors.Is(err, fs.ErrNotExist) {
		return f.foreigner(ctx, key)
	}
	if lease, ok := f.leases.Get(key); err == nil && ok && inLine(seen, lease) {
		return nil // a lock would be in the way of verbs
	}
	lock, rec, err := f.store.TryTake(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Release()
	if rec.State != attachment.Ready || rec.IPAM != netconf.TypeDHCP {
		return nil
	}
	lease, ok := f.leases.Get(key)
	if !ok {
		return nil // the reconciler's business
	}
	switch lease.State {
	case leaseapi.StateLost:
		return f.close(ctx, rec, lease.Reason)
	case leaseapi.StateBound, leaseapi.StateRenewing, leaseapi.StateRebinding:
		return f.open(ctx, rec, lease)
	case leaseapi.StateAcquiring, leaseapi.StatePending: // nobody's yet
	}
	return nil
}

// foreigner is follow for a Pod of another main plugin: it has no record.
func (f *follower) foreigner(ctx context.Context, key leaseapi.Key) error {
	lease, ok := f.leases.Get(key)
	for _, h := range f.leases.Held() {
		if ok && h.Key == key && h.Request.Confirm == leaseapi.ByAddress {
			return f.foreign.follow(ctx, h, lease)
		}
	}
	return nil
}

// inLine tells whether an open port has what is leased.
func inLine(rec attachment.Record, lease leaseapi.Lease) bool {
	switch lease.State {
	case leaseapi.StateBound, leaseapi.StateRenewing, leaseapi.StateRebinding:
		return rec.Closed == "" && len(rec.Addrs) == 1 && rec.Addrs[0] == lease.Address
	case leaseapi.StateLost:
		return false
	case leaseapi.StateAcquiring, leaseapi.StatePending:
	}
	return true
}

func (f *follower) close(ctx context.Context, rec attachment.Record, reason string) error {
	if rec.Closed == reason {
		return f.gate.Shut(ctx, rec)
	}
	if err := f.gate.Close(ctx, rec, reason); err != nil {
		return fmt.Errorf("close the port: %w", err)
	}
	f.count("closed")
	f.log.Warn("port closed", "key", rec.Key.String(), "port", rec.HostEnd, "addresses", rec.Addrs, "reason", reason)
	return nil
}

// open lets the Pod use what is leased.
func (f *follower) open(ctx context.Context, rec attachment.Record, lease leaseapi.Lease) error {
	replace := lease.WhenLost == leaseapi.Replace
	// A server that changes the mask alone does not take the address away.
	same := len(rec.Addrs) == 1 && rec.Addrs[0].Addr() == lease.Address.Addr() && !(replace && rec.Addrs[0] != lease.Address)
	switch {
	case same && rec.Closed == "":
		return nil
	case !same && !replace:
		return f.close(ctx, rec, fmt.Sprintf("%s is leased, and not what the Pod has", lease.Address))
	case !same || addressless(rec):
		if err := f.readdress(ctx, &rec, lease); err != nil {
			return err
		}
	}
	if err := f.gate.Open(ctx, rec); err != nil {
		return fmt.Errorf("open the port: %w", err)
	}
	f.count("opened")
	f.log.Info("port open", "key", rec.Key.String(), "port", rec.HostEnd, "addresses", rec.Addrs)
	// Where conflict detection is off, nobody else announces.
	return pod.Announce(ctx, f.gate.Links, rec.Bridge, rec.PVID(), rec.HardwareAddr(), []netip.Addr{lease.Address.Addr()})
}

// addressless: the gate could not but take the address out of the Pod.
func addressless(rec attachment.Record) bool { return rec.DHCP && !rec.Guard && rec.Closed != "" }

// readdress gives the Pod the leased address for the one that it had, behind a
// closed port.
func (f *follower) readdress(ctx context.Context, rec *attachment.Record, lease leaseapi.Lease) error {
	if err := f.gate.Close(ctx, *rec, "the Pod gets "+lease.Address.String()); err != nil {
		return fmt.Errorf("close the port: %w", err)
	}
	priority := 0
	if rec.Lease != nil {
		priority = rec.Lease.RoutePriority
	}
	if err := rec.Readdress(ctx, leasedConfig(lease, priority)); err != nil {
		return fmt.Errorf("give the Pod %s: %w", lease.Address, err)
	}
	if rec.Addrs[0] != lease.Address {
		f.count("replaced")
	}
	rec.Addrs = []netip.Prefix{lease.Address}
	return f.legFollows(ctx, rec)
}

// legFollows gives the Pod's end its side anew: routes went with the address. The
// node's follows when the port opens.
func (f *follower) legFollows(ctx context.Context, rec *attachment.Record) error {
	if rec.Leg == "" {
		return nil
	}
	var err error
	*rec, err = rec.ConfigureLeg(ctx, f.gate.Links)
	if _, short := errors.AsType[*leg.Shortfall](err); err != nil && !short {
		return fmt.Errorf("the Pod's way to Services and its node: %w", err)
	}
	return nil
}
