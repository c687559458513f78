package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/segment"
)

// legs keeps both sides of the Pods' legs as they are to be: the node's, after
// somebody has changed it or the node has another address; the Pod's, where
// podland may enter it, after its cluster or its node has changed.
type legs struct {
	store *attachment.Store
	node  *leg.Node
	links *rtnl.Handle
	pods  bool // Pod access
	count func(event string)
	*reports
	// own are the node's addresses, at this look.
	own    leg.Addresses
	bootID string // "" before the first look

	mu   sync.Mutex
	view *leaseapi.Services
}

// services is what the last look has found, nil if there was nothing.
func (k *legs) services() *leaseapi.Services {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.view
}

// once looks at all legs. bridged: frames of bridges pass iptables.
func (k *legs) once(ctx context.Context, records []attachment.Record, bridged bool) {
	records = k.living(records)
	latest := latestServices(records)
	view := newView(bridged)
	k.own = leg.AddressesOf(k.links)
	for i, seen := range records {
		rec, behind, err := k.follow(ctx, seen, latest[seen.Network])
		k.report("leg of "+rec.Key.String(), err)
		view.pod(rec, latest[rec.Network], behind)
		records[i] = rec
	}
	if len(view.networks) > 0 {
		view.failed(k.restore(ctx, records))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.view = view.services()
}

// follow brings the record of one leg, and the Pod's side, in line with its
// network and the node, and returns it with what the Pod lacks then.
func (k *legs) follow(ctx context.Context, seen attachment.Record, latest netconf.Service) (now attachment.Record, behind []string, err error) {
	if !seen.LegWanted() {
		return seen, k.never(seen, latest), nil
	}
	if err := k.device(ctx, seen); notNow(err) {
		return seen, nil, nil
	} else if err != nil {
		return seen, nil, err
	}
	want, noIP := k.now(seen, latest)
	behind, err = k.lacks(seen, want)
	if err != nil || sameNode(seen, want) && (len(behind) == 0 || !k.pods) {
		return seen, behind, errors.Join(noIP, err)
	}
	lock, rec, err := k.store.TryTake(seen.Key)
	if notNow(err) {
		return seen, behind, noIP
	}
	if err != nil {
		return seen, behind, errors.Join(noIP, err)
	}
	defer lock.Release()
	if rec.State != attachment.Ready || !rec.LegWanted() {
		return rec, nil, noIP
	}
	now, behind, err = k.change(ctx, rec, latest)
	return now, behind, errors.Join(noIP, err)
}

// change has the record, and the Pod where that is allowed, follow. The caller
// holds the attachment's lock.
func (k *legs) change(ctx context.Context, rec attachment.Record, latest netconf.Service) (now attachment.Record, behind []string, err error) {
	want, _ := k.now(rec, latest)
	if behind, err = k.lacks(rec, want); err != nil {
		return rec, nil, err
	}
	if len(behind) == 0 || !k.pods {
		want.Service.CIDRs = rec.Service.CIDRs // what the Pod was given
		if sameNode(rec, want) {
			return rec, behind, nil
		}
		return want, behind, k.store.Put(want)
	}
	want, err = want.ConfigureLeg(ctx, k.links)
	if _, short := errors.AsType[*leg.Shortfall](err); err != nil && !short {
		return rec, behind, err
	}
	k.count("leg_changed")
	k.log.Info("the Pod's way to Services and its node follows", "key", rec.Key.String(), "lacked", behind)
	return want, nil, k.store.Put(want)
}

// device makes the node's VLAN device on a filtering bridge anew, after somebody
// has deleted it or the bridge.
func (k *legs) device(ctx context.Context, seen attachment.Record) error {
	_, err := k.links.Link(seen.Leg)
	if seen.PVID() == 0 || !errors.Is(err, rtnl.ErrNotFound) {
		return err
	}
	lock, rec, err := k.store.TryTake(seen.Key)
	if err != nil {
		return fmt.Errorf("the node's device %s is gone: %w", seen.Leg, err)
	}
	defer lock.Release()
	unlock, err := k.store.LockSegment(ctx, rec.Place().Locks())
	if err != nil {
		return err
	}
	defer unlock()
	made, err := segment.VLANDevice(ctx, k.links, rec.Bridge, rec.PVID())
	if err != nil || made.Name == rec.Leg {
		return err
	}
	rec.Leg = made.Name
	return k.store.Put(rec)
}

// restore puts back what the node's side lacks.
func (k *legs) restore(ctx context.Context, seen []attachment.Record) error {
	intact, err := k.node.Intact(ctx, wantedLegs(seen))
	if err == nil && intact {
		k.report("legs", nil)
		return nil
	}
	restored, err := k.node.Restore(ctx, k.wanted)
	k.report("legs", err)
	if restored {
		k.count("leg_restored")
		k.log.Warn("the node's way to Pods, or Services' rules, were not as they are to be: restored")
	}
	return err
}

// wanted is as restorer.wanted: a DEL takes the node's side away before the
// record.
func (k *legs) wanted() ([]leg.Leg, error) {
	records, err := k.store.All()
	if err != nil {
		return nil, err
	}
	var idle []attachment.Record
	for _, seen := range records {
		lock, rec, err := k.store.TryTake(seen.Key)
		if err != nil {
			continue
		}
		lock.Release()
		idle = append(idle, rec)
	}
	return wantedLegs(idle), nil
}

func wantedLegs(records []attachment.Record) (all []leg.Leg) {
	for _, rec := range records {
		if l, _ := rec.PodLeg(); rec.State == attachment.Ready && rec.LegWanted() {
			all = append(all, l)
		}
	}
	return all
}
