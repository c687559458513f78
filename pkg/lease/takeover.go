package lease

import (
	"time"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/fault"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// takeOver gives a lease, or its acquisition, to the key: the same key again,
// or a retried sandbox of the same Pod. Its former key's DEL will find nothing.
func (k *Keeper) takeOver(e *entry, key leaseapi.Key, req leaseapi.Request, w *waiter) {
	now := k.cfg.Now()
	if e.key != key {
		e.answer(outcome{err: &leaseapi.Error{Code: leaseapi.CodeTryAgainLater, Msg: "another sandbox of the Pod has taken the lease over"}})
		delete(k.leases, e.key)
	}
	moved := e.key.IfName != key.IfName || !sameWay(e.req, req)
	if moved || e.stage == releasing {
		k.endLate(e, now)
		k.land(e, now)
		e.segment.leave(e)
		e.out = nil
	}
	e.key, e.req, e.segment = key, req, k.segmentOf(req)
	k.enlist(e)
	k.leases[key] = e
	e.waiters = append(e.waiters, w)
	k.timing(e)
	switch {
	case e.stage == acquiring && !moved: // joins
		e.listen = e.giveUp
	case k.live(e, now):
		e.stage, e.owed, e.onDisk, e.announce = storing, false, false, true
		k.saveFor(e)
	default:
		k.restart(e, now)
	}
	k.set(e)
	k.over(e, nil) // of a release that has not been sent
}

// sameWay tells whether both requests are spoken for from the same place.
func sameWay(a, b leaseapi.Request) bool {
	return a.Transport == b.Transport && a.Uplink == b.Uplink && a.Bridge == b.Bridge && a.VLAN == b.VLAN && a.Untagged == b.Untagged &&
		(a.Transport == leaseapi.FromUplink || a.Netns == b.Netns)
}

// live tells whether there is a lease to be taken over.
func (k *Keeper) live(e *entry, now time.Duration) bool {
	l, ok := e.client.Lease()
	return ok && e.reason == "" && e.stage != reserved && now < l.Expiry
}

// restart asks anew where there is no lease, or none any more: the new sandbox
// takes what there is.
func (k *Keeper) restart(e *entry, now time.Duration) {
	k.land(e, now)
	e.segment.leave(e)
	e.former = dhcp4.Lease{}
	if l, ok := e.client.Lease(); ok && e.stage == reserved && now < l.Expiry {
		e.former = l
	}
	e.stage, e.reason, e.lastLease, e.fresh, e.out = acquiring, "", dhcp4.Lease{}, true, nil
	e.owed, e.began, e.declined, e.onDisk = false, now, "", false
	e.client = dhcp4.New(k.params(e), k.rng)
	e.segment.enter(e, adds)
}

// granted stores what the server has granted before anybody is told.
func (k *Keeper) granted(e *entry, now time.Duration) {
	fault.Point("lease.granted")
	l, _ := e.client.Lease()
	e.claims, e.former = nil, dhcp4.Lease{}
	switch {
	case e.taken != "" && e.addr == l.Address.Addr():
		k.decline(e, e.taken, now)
		return
	case e.stage == lost:
		e.stage = returning
		if k.follow(e); !e.probing {
			k.back(e)
		}
		return
	}
	e.lastLease, e.stage, e.onDisk, e.announce = l, storing, false, true
	k.cfg.Observer.Acquired(now - e.began)
	k.saveFor(e)
}

// back ends a loss: nobody else has the address.
func (k *Keeper) back(e *entry) {
	l, _ := e.client.Lease()
	k.cfg.Log.Info("lease is back", "key", e.key.String(), "on", e.domain().String(), "address", l.Address.String(), "before", e.lastLease.Address.String())
	e.stage, e.reason, e.lastLease = held, "", l
	k.save(e, nil)
	fault.Point("lease.back")
	k.cfg.Changed(k.view(e))
	k.tell(e, k.cfg.Now())
}

// saveFor stores the lease for those who wait for it.
func (k *Keeper) saveFor(e *entry) {
	tenure := e.tenure
	k.save(e, func(err error) {
		if !e.gone && e.stage == storing && e.tenure == tenure {
			k.kept(e, err)
		}
	})
}

// kept answers an Acquire once its lease is on disk.
func (k *Keeper) kept(e *entry, err error) {
	if err != nil {
		k.notKept(e, &leaseapi.Error{Code: leaseapi.CodeIO, Msg: "the lease could not be stored: " + err.Error(), Details: "is there room in " + k.cfg.Dir + "?"})
		return
	}
	if e.waits() && e.probing {
		e.onDisk = true
		k.set(e)
		return
	}
	if !e.fresh {
		fault.Point("lease.takenover")
	}
	e.stage, e.fresh, e.onDisk = pending, false, false
	k.eraseFormer(e)
	k.set(e)
	e.answer(outcome{lease: k.view(e)})
	fault.Point("lease.answered")
}

// notKept gives back what was got for this Acquire. A lease that was there
// before may be in use: Confirm knows.
func (k *Keeper) notKept(e *entry, err error) {
	if e.fresh {
		k.fail(e, err)
		return
	}
	k.cfg.Observer.Failed()
	e.stage = pending
	k.set(e)
	e.answer(outcome{err: err})
}
