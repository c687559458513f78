package lease

import (
	"time"

	"github.com/podlan/podlan/pkg/dhcp4"
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
	k.leases[key] = e
	e.waiters = append(e.waiters, w)
	k.timing(e)
	switch {
	case e.stage == acquiring && !moved: // joins
		e.listen = e.giveUp
	case k.live(e, now):
		e.stage, e.owed = storing, false
		k.saveFor(e)
	default:
		k.restart(e, now)
	}
	k.due.set(e)
	k.over(e, nil) // of a release that has not been sent
}

// sameWay tells whether both requests are spoken for from the same place.
func sameWay(a, b leaseapi.Request) bool {
	return a.Transport == b.Transport && a.Uplink == b.Uplink && a.Bridge == b.Bridge &&
		(a.Transport == leaseapi.FromUplink || a.Netns == b.Netns)
}

// live tells whether there is a lease to be taken over.
func (k *Keeper) live(e *entry, now time.Duration) bool {
	l, ok := e.client.Lease()
	return ok && e.reason == "" && now < l.Expiry
}

// restart asks anew where there is no lease, or none any more: the new sandbox
// takes what there is.
func (k *Keeper) restart(e *entry, now time.Duration) {
	k.land(e, now)
	e.segment.leave(e)
	e.stage, e.reason, e.lastLease, e.fresh, e.out = acquiring, "", dhcp4.Lease{}, true, nil
	e.owed, e.began = false, now
	e.client = dhcp4.New(k.params(e), k.rng)
	e.segment.enter(e, adds)
}

// granted stores what the server has granted before anybody is told.
func (k *Keeper) granted(e *entry, now time.Duration) {
	e.lastLease, _ = e.client.Lease()
	e.claims = nil
	if e.stage == lost {
		k.cfg.Log.Info("lease is back", "key", e.key.String(), "address", e.lastLease.Address.String())
		e.stage, e.reason = held, ""
		k.save(e, nil)
		k.cfg.Changed(k.view(e))
		return
	}
	e.stage = storing
	k.cfg.Observer.Acquired(now - e.began)
	k.saveFor(e)
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
	e.stage, e.fresh = pending, false
	k.eraseFormer(e)
	k.due.set(e)
	e.answer(outcome{lease: k.view(e)})
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
	k.due.set(e)
	e.answer(outcome{err: err})
}
