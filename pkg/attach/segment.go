package attach

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/podlan/podlan/pkg/identity"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/segment"
)

// makeSureOfSegment makes the segment, with the intent on record before: whoever
// takes down what a killed ADD has left knows by it what to look for. All of it is
// done under the segment's locks, so that nobody lets it go in between.
func (a *add) makeSureOfSegment(ctx context.Context) error {
	spec := segmentSpec(a.conf)
	place, unlock, err := a.lockSegment(ctx, spec)
	if err != nil {
		return err
	}
	defer unlock()
	missing, err := segment.Missing(a.links, place)
	if err != nil {
		return err
	}
	if err := a.intend(place, missing); err != nil {
		return err
	}
	if a.segment, err = segment.Ensure(ctx, a.links, spec, place); err != nil {
		return err
	}
	return segment.Give(a.links, place, missing)
}

func segmentSpec(conf *netconf.Bridge) segment.Spec {
	return segment.Spec{Bridge: conf.Bridge, Uplink: conf.Uplink, MTU: conf.MTU, Promisc: conf.Promisc, VLANs: conf.VLANs}
}

// lockSegment finds out where the segment is and locks it there. While it waited
// for the locks, others may have made or removed what that was decided by.
func (a *add) lockSegment(ctx context.Context, spec segment.Spec) (place segment.Place, unlock func(), err error) {
	all := func() {}
	if spec.VLAN != 0 || len(spec.Trunk) > 0 {
		if all, err = a.store.LockVLANs(ctx); err != nil {
			return place, nil, notLocked(ctx, err)
		}
	}
	const tries = 10 // against others that are at work on the same bridge
	for range tries {
		var one func()
		place, one, err = a.tryLock(ctx, spec)
		if err == nil {
			return place, func() { one(); all() }, nil
		}
		if !errors.Is(err, rtnl.ErrNotFound) {
			break
		}
	}
	all()
	return place, nil, err
}

// tryLock fails with rtnl.ErrNotFound where something has gone, or come,
// meanwhile.
func (a *add) tryLock(ctx context.Context, spec segment.Spec) (segment.Place, func(), error) {
	place, err := segment.Resolve(ctx, a.links, spec)
	if err != nil {
		return place, nil, err
	}
	unlock, err := a.store.LockSegment(ctx, place.Locks())
	if err != nil {
		return place, nil, notLocked(ctx, err)
	}
	now, err := segment.Resolve(ctx, a.links, spec)
	if err == nil && !slices.Equal(now.Locks(), place.Locks()) {
		err = fmt.Errorf("bridge %s changes all the time: %w", spec.Bridge, rtnl.ErrNotFound)
	}
	if err != nil {
		unlock()
		return place, nil, err
	}
	return now, unlock, nil
}

// intend puts on record what is about to be made.
func (a *add) intend(place segment.Place, missing segment.Grant) error {
	if a.mac = a.conf.MAC; a.mac == nil {
		a.mac = identity.Attachment(a.conf.Name, a.args.IfName, a.conf.Pod.UID, a.args.ContainerID).MAC()
	}
	a.rec = a.rec.At(place)
	a.rec.MAC = a.mac.String()
	if err := a.decideOrder(); err != nil {
		return err
	}
	var err error
	if a.rec, err = a.rec.Stamped(a.conf.Budget + undoTime); err != nil {
		return err
	}
	a.rec = a.store.Claim(a.rec, missing)
	return a.record()
}
