package daemon

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/guard"
	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/rtnl"
)

// restorer puts back what holds the ports, after somebody has flushed, deleted
// or detached it: the guard's table, each port's place in its bridge, and the legs.
type restorer struct {
	store *attachment.Store
	guard *guard.Guard
	legs  *legs
	links *rtnl.Handle
	count func(event string)
	reports
	// records reads all there are.
	records func() ([]attachment.Record, error)
	// taken are the ports' flags as this kernel took them, by host end; known
	// are those of the look before.
	taken, known map[string]*rtnl.PortFlags
	// bridged: bridged frames pass iptables, at this look.
	bridged bool

	changed chan struct{} // buffered: 1
}

func newRestorer(t attachment.Teardown, pods bool, log *slog.Logger, count func(event string)) *restorer {
	r := &restorer{
		store: t.Store, guard: t.Guard, links: t.Links, count: count,
		reports: reports{log: log}, records: t.Store.All, changed: make(chan struct{}, 1),
	}
	r.legs = &legs{store: t.Store, node: t.Legs, links: t.Links, pods: pods, count: count, reports: &r.reports}
	return r
}

// restoreEvery is how often podland looks without having been told: nothing
// tells that a port's bridge has been made anew.
const restoreEvery = 10 * time.Second

// restorePause lies between two looks: each ADD and DEL changes what is watched,
// and on a busy node one look serves many.
const restorePause = 200 * time.Millisecond

// run restores until ctx ends.
func (r *restorer) run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { r.listen(ctx, "nftables", func() (waiter, error) { return r.guard.Watch() }) })
	all.Go(func() { r.listen(ctx, "bridges", func() (waiter, error) { return r.links.WatchBridges() }) })
	all.Go(func() { r.listen(ctx, "routes", func() (waiter, error) { return r.links.WatchLegs(leg.Origin) }) })
	all.Go(func() { r.listen(ctx, "rules for Services", func() (waiter, error) { return leg.WatchRules(r.links) }) })
	tick := time.NewTicker(restoreEvery)
	defer tick.Stop()
	for {
		r.once(ctx)
		looked := time.Now()
		select {
		case <-ctx.Done():
			return
		case <-r.changed:
		case <-tick.C:
		}
		if time.Since(looked) < restorePause {
			pause(ctx, restorePause)
		}
	}
}

// waiter tells of changes.
type waiter interface {
	Wait(ctx context.Context) error
	Close()
}

// listen says so when something has changed; what is to be done, a look tells.
func (r *restorer) listen(ctx context.Context, what string, watch func() (waiter, error)) {
	told := ""
	for ctx.Err() == nil {
		events, err := watch()
		if err != nil {
			if told != err.Error() { // a kernel without it stays without it
				r.log.Error("cannot be watched", "what", what, "error", err)
			}
			told = err.Error()
			pause(ctx, lookAgain)
			continue
		}
		for err == nil {
			if err = events.Wait(ctx); err == nil {
				r.wake()
			}
		}
		events.Close()
		pause(ctx, lookAgain)
	}
}

func (r *restorer) wake() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

func (r *restorer) once(ctx context.Context) {
	restored, err := r.guard.Restore(ctx, r.wanted)
	r.report("guard", err)
	if restored {
		r.count("guard_restored")
		r.log.Warn("somebody had changed the guard's table: restored")
	}
	records, err := r.records()
	r.report("attachment records", err)
	r.look()
	for _, rec := range records {
		r.report("VLANs of "+rec.Bridge+" for "+rec.Key.String(), r.granted(ctx, rec))
	}
	r.ports(ctx, records)
	r.legs.once(ctx, records, r.bridged)
	r.turn()
}

// look begins a look at the ports.
func (r *restorer) look() {
	r.known, r.taken = r.taken, map[string]*rtnl.PortFlags{}
	bridged, err := leg.BridgeNF(r.links)
	r.report("bridge-nf", err)
	if err == nil && bridged != r.bridged {
		r.bridged, r.known = bridged, nil // the flags known are those of before
	}
}

// wanted is what the records say of the ports, under the guard's lock, but for
// those on which a verb is at work: a DEL takes the elements away before the
// record, and what it took shall not come again. What an ADD has put stays by its
// note.
func (r *restorer) wanted() ([]guard.Port, error) {
	records, err := r.records()
	if err != nil {
		return nil, err // an attachment whose record is not known would be cut off
	}
	var ports []guard.Port
	for _, seen := range records {
		lock, rec, err := r.store.TryTake(seen.Key)
		if err != nil {
			continue
		}
		lock.Release()
		port := rec.GuardPort()
		switch {
		case !rec.Guard || rec.Closed != "" && !rec.DHCP:
			continue
		case rec.Closed != "":
			port.Addrs = nil
		}
		ports = append(ports, port)
	}
	return ports, nil
}
