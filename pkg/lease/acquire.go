package lease

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// Acquire returns a lease for the key, durable and pending confirmation: the
// one that the key has, that its Pod's former sandbox has, or a new one. It
// waits until ctx or the request's budget ends, and then gives back what it may
// have got. Errors are *leaseapi.Error, or ctx's.
func (k *Keeper) Acquire(ctx context.Context, key leaseapi.Key, req leaseapi.Request) (leaseapi.Lease, error) {
	w := &waiter{done: make(chan outcome, 1)}
	if err := k.do(func() { k.acquire(key, req, w) }); err != nil {
		return leaseapi.Lease{}, err
	}
	select {
	case o := <-w.done:
		return o.lease, o.err
	case <-ctx.Done():
		k.later(func() { k.abandon(key, w) })
		return leaseapi.Lease{}, context.Cause(ctx)
	case <-k.done:
		return leaseapi.Lease{}, errStopped
	}
}

func (k *Keeper) acquire(key leaseapi.Key, req leaseapi.Request, w *waiter) {
	if w.gone {
		return // while it waited for a release
	}
	mac, err := dhcp4.ParseMAC(req.MAC)
	if err != nil {
		w.done <- outcome{err: &leaseapi.Error{Code: leaseapi.CodeConfig, Msg: "field \"mac\": " + err.Error()}}
		return
	}
	who := client{id: string(req.ClientID), mac: mac}
	if old := k.leases[key]; old != nil && old.who != who {
		k.replace(old, req, w)
		return
	}
	e := k.clients[who]
	switch {
	case e == nil:
		k.begin(key, req, w)
	case e.domain() != domainOf(req):
		k.leaveBehind(e, key, req, w)
	case e.stage == releasing && e.sending:
		// If it cannot be sent, the lease is still ours.
		e.released = append(e.released, func(error) { k.acquire(key, req, w) })
	default:
		k.takeOver(e, key, req, w)
	}
}

// replace gives the key's lease back first: the attachment is another client
// now.
func (k *Keeper) replace(old *entry, req leaseapi.Request, w *waiter) {
	key := old.key
	k.giveBack(old, func(err error) {
		if err != nil {
			w.done <- outcome{err: &leaseapi.Error{
				Code: leaseapi.CodeTryAgainLater, Msg: "the attachment was another client before, whose lease cannot be given back: " + err.Error(),
			}}
			return
		}
		k.acquire(key, req, w)
	})
}

// leaveBehind gives back first what the client has in another VLAN, or on another
// bridge: it is another network's. Where there is no way to that any more, it is
// left to run out.
func (k *Keeper) leaveBehind(e *entry, key leaseapi.Key, req leaseapi.Request, w *waiter) {
	waits := e.stage == releasing && !e.sending && !e.queued
	k.giveBack(e, func(err error) {
		switch {
		case err == nil:
		case missing(err) && e.key != key:
			if k.clients[e.who] == e { // else another ADD has been here
				delete(k.clients, e.who)
			}
		default:
			w.done <- outcome{err: &leaseapi.Error{
				Code: leaseapi.CodeTryAgainLater, Msg: fmt.Sprintf("the Pod had a lease on %s before, which cannot be given back: %v", e.domain(), err),
			}}
			return
		}
		k.acquire(key, req, w)
	})
	if waits {
		k.giveAgain(e)
	}
}

func (k *Keeper) newEntry(key leaseapi.Key, req leaseapi.Request) *entry {
	mac, _ := dhcp4.ParseMAC(req.MAC) // checked by who calls
	e := &entry{key: key, req: req, who: client{id: string(req.ClientID), mac: mac}, index: -1}
	e.retry = dhcp4.Never
	e.client = dhcp4.New(k.params(e), k.rng)
	e.segment = k.segmentOf(req)
	return e
}

func (k *Keeper) params(e *entry) dhcp4.Params {
	p := dhcp4.Params{
		MAC: e.who.mac, ClientID: e.req.ClientID, ParameterRequest: e.req.ParameterRequest, Send: map[uint8][]byte{},
		AnyAddress: e.req.WhenLost == leaseapi.Replace, RapidCommit: e.req.RapidCommit, Servers: e.req.Servers,
		Acceptable: func(addr netip.Addr) error { return k.acceptable(e, addr) },
	}
	for code, value := range e.req.Send {
		p.Send[code] = value
	}
	return p
}

// begin asks for a new lease.
func (k *Keeper) begin(key leaseapi.Key, req leaseapi.Request, w *waiter) {
	e := k.newEntry(key, req)
	e.waiters, e.fresh = []*waiter{w}, true
	k.timing(e)
	k.leases[key], k.clients[e.who] = e, e
	k.enlist(e)
	e.segment.enter(e, adds)
	k.set(e)
}

// grace is what an ADD may take beyond podland's part of its budget.
const grace = 5 * time.Second

// timing sets when the acquisition is given up, and when what it got is judged:
// some time after, since the ADD may be using its last second. One that joins
// an acquisition does not shorten it.
func (k *Keeper) timing(e *entry) {
	now, budget := k.cfg.Now(), time.Duration(e.req.BudgetMS)*time.Millisecond
	if len(e.waiters) <= 1 || e.stage != acquiring {
		e.began, e.giveUp = now, 0
	}
	e.giveUp = max(e.giveUp, now+budget)
	e.confirmBy = e.giveUp + budget/4 + grace
	e.unsure, e.judging = true, false
	e.tenure++
}

// abandon is for a caller that went away.
func (k *Keeper) abandon(key leaseapi.Key, w *waiter) {
	w.gone = true
	e := k.leases[key]
	if e == nil {
		return
	}
	i := slices.Index(e.waiters, w)
	if i < 0 {
		return
	}
	e.waiters = slices.Delete(e.waiters, i, i+1)
	// A lease that it had before may be in use: Confirm knows.
	if len(e.waiters) == 0 && e.fresh {
		k.cfg.Log.Info("ADD went away", "key", key.String())
		k.giveBack(e, nil)
	}
}

// fail ends an acquisition with an error, and gives back what may have been
// granted.
func (k *Keeper) fail(e *entry, err error) {
	e.answer(outcome{err: err})
	k.cfg.Observer.Failed()
	k.giveBack(e, nil)
}
