package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/boottime"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/statefile"
	"github.com/podlan/podlan/pkg/tombstone"
)

// reconcileEvery is how often podland looks for what nobody called DEL for. An
// abandoned ADD is gone that much after its budget at the latest.
const reconcileEvery = 5 * time.Second

// reconciler settles DELs that podland has yet to hear of, or that never come,
// and ADDs that died; it brings leases and attachments together again.
type reconciler struct {
	stateDir string
	bootID   string
	store    *attachment.Store
	teardown attachment.Teardown
	leases   leases
	follower *follower
	carriers *carriers

	// settleAfter is how long something has to look wrong before it is settled:
	// a runtime's own DEL may be on its way.
	settleAfter time.Duration
	// idleAfter is how long a Pod has to be without a process before it counts
	// as leaked; 0: never.
	idleAfter time.Duration
	proc      string // where proc(5) is mounted

	wrong sightings
	reports
}

// run reconciles now and then until ctx ends.
func (r *reconciler) run(ctx context.Context) {
	tick := time.NewTicker(reconcileEvery)
	defer tick.Stop()
	defer r.carriers.all.Wait()
	for {
		r.once(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *reconciler) once(ctx context.Context) {
	err := tombstone.Settle(r.stateDir, func(key leaseapi.Key) error {
		r.log.Info("giving back a lease whose DEL came while podland was down", "key", key.String())
		return r.leases.Release(ctx, key)
	})
	r.report("tombstones", err)
	records, err := r.store.All()
	r.report("attachment records", err)
	p := r.newPass(records)
	for _, rec := range records {
		r.attachment(ctx, p, rec)
	}
	if err == nil { // else a record that is there may not have been read
		r.leasesAlone(ctx, p)
	}
	r.carriers.watch(ctx, r.uplinks(records, p.held))
	r.wrong.turn()
	r.turn()
}

// attachment settles one if nobody needs it any more, and has its port follow
// its lease if somebody does.
func (r *reconciler) attachment(ctx context.Context, p *pass, rec attachment.Record) {
	fate := attachment.FateOf(rec, r.bootID, p.now)
	switch why := r.gone(p, rec, fate); {
	case fate == attachment.Abandoned:
		r.settle(ctx, rec, "its ADD died")
	case why != "":
		if r.wrong.age("pod "+rec.Key.String(), p.now) >= r.settleAfter || rec.BootID != r.bootID {
			r.settle(ctx, rec, why)
		}
	case r.idle(p, rec):
		r.settle(ctx, rec, "no process has been in its network namespace for "+r.idleAfter.String())
	case rec.State == attachment.Ready && rec.IPAM == netconf.TypeDHCP:
		r.lease(ctx, p, rec)
	}
}

// lease has the port follow its lease, or looks for the lease.
func (r *reconciler) lease(ctx context.Context, p *pass, rec attachment.Record) {
	key := rec.Key.String()
	if _, ok := p.leased[rec.Key]; ok {
		if err := r.follower.follow(ctx, rec.Key); !errors.Is(err, statefile.ErrLocked) {
			r.report("port of "+key, err)
		}
		return
	}
	if r.wrong.age("lease "+key, p.now) < min(r.settleAfter, reconcileEvery) {
		return
	}
	r.report("lease of "+key, r.restore(ctx, p, rec))
}

// uplinks are those by which attachments and leases reach the LAN.
func (r *reconciler) uplinks(records []attachment.Record, held []leaseapi.Lease) []string {
	var names []string
	for _, l := range held {
		names = append(names, l.Uplink)
	}
	found := map[string]string{} // by bridge, where the conf names none
	for _, rec := range records {
		if _, known := found[rec.Bridge]; rec.Uplink == "" && !known {
			found[rec.Bridge] = r.carriers.uplinkOf(rec)
		}
		names = append(names, rec.Uplink, found[rec.Bridge])
	}
	return names
}

// pass is what one look at the node has found.
type pass struct {
	now    time.Duration
	held   []leaseapi.Lease
	leased map[leaseapi.Key]leaseapi.Lease
	owner  map[string]leaseapi.Key // of a client, by MAC and client-id
	record map[leaseapi.Key]bool
	links  map[string]bool // nil if they could not be listed
	busy   map[uint64]bool // namespaces with a process in them; nil: not known
}

func (r *reconciler) newPass(records []attachment.Record) *pass {
	p := &pass{
		now: boottime.Now(), held: r.leases.List(),
		leased: map[leaseapi.Key]leaseapi.Lease{}, owner: map[string]leaseapi.Key{}, record: map[leaseapi.Key]bool{},
	}
	for _, l := range p.held {
		p.leased[l.Key] = l
		p.owner[clientOf(l.MAC, l.ClientID)] = l.Key
	}
	for _, rec := range records {
		p.record[rec.Key] = true
	}
	p.links = r.hostEnds()
	if r.idleAfter > 0 {
		var err error
		p.busy, err = busyNamespaces(r.proc)
		r.report("leaked sandboxes", err)
	}
	return p
}

func clientOf(mac string, id []byte) string { return mac + " " + string(id) }
