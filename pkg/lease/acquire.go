package lease

import (
	"context"
	"fmt"
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
	mac, err := dhcp4.ParseMAC(req.MAC)
	if err != nil {
		w.done <- outcome{err: &leaseapi.Error{Code: leaseapi.CodeConfig, Msg: "field \"mac\": " + err.Error()}}
		return
	}
	who := client{id: string(req.ClientID), mac: mac}
	again := func() { k.acquire(key, req, w) }
	if old := k.leases[key]; old != nil && old.who != who {
		k.giveBack(old, again) // the attachment is another client now
		return
	}
	e := k.clients[who]
	switch {
	case e == nil:
		k.begin(key, req, w)
	case e.stage == releasing && e.sending:
		e.released = append(e.released, again)
	case e.stage == releasing && e.releases > 0:
		k.finish(e) // a repeat would end the new lease
		k.begin(key, req, w)
	default:
		k.takeOver(e, key, req, w)
	}
}

func (k *Keeper) newEntry(key leaseapi.Key, req leaseapi.Request) *entry {
	mac, _ := dhcp4.ParseMAC(req.MAC) // checked by who calls
	return &entry{
		key: key, req: req, who: client{id: string(req.ClientID), mac: mac}, index: -1,
		client: dhcp4.New(k.params(req, mac), k.rng), segment: k.segmentOf(req),
	}
}

func (k *Keeper) params(req leaseapi.Request, mac dhcp4.MAC) dhcp4.Params {
	p := dhcp4.Params{MAC: mac, ClientID: req.ClientID, ParameterRequest: req.ParameterRequest, Send: map[uint8][]byte{}}
	for code, value := range req.Send {
		p.Send[code] = value
	}
	return p
}

// begin asks for a new lease.
func (k *Keeper) begin(key leaseapi.Key, req leaseapi.Request, w *waiter) {
	e := k.newEntry(key, req)
	e.waiters = []*waiter{w}
	k.timing(e)
	k.leases[key], k.clients[e.who] = e, e
	e.segment.enter(e, adds)
	k.due.set(e)
}

// grace is what an ADD may take beyond podland's part of its budget.
const grace = 5 * time.Second

// timing sets when the acquisition is given up, and when what it got is judged:
// some time after, since the ADD may be using its last second.
func (k *Keeper) timing(e *entry) {
	budget := time.Duration(e.req.BudgetMS) * time.Millisecond
	e.began = k.cfg.Now()
	e.giveUp = e.began + budget
	e.confirmBy = e.giveUp + budget/4 + grace
}

// takeOver gives a lease, or its acquisition, to the key: the same key again,
// or a retried sandbox of the same Pod. Its former key's DEL will find nothing.
func (k *Keeper) takeOver(e *entry, key leaseapi.Key, req leaseapi.Request, w *waiter) {
	former := e.key
	delete(k.leases, former)
	if former != key {
		e.answer(outcome{err: &leaseapi.Error{Code: leaseapi.CodeTryAgainLater, Msg: "another sandbox of the Pod has taken the lease over"}})
	}
	for _, done := range e.released { // of a release that has not been sent yet
		done()
	}
	e.released = nil
	e.key, e.req, e.segment = key, req, k.resettle(e, req)
	k.timing(e)
	k.leases[key] = e
	e.waiters = append(e.waiters, w)
	forget := func(err error) {
		if err == nil && former != key {
			k.erase(former, nil)
		}
	}
	switch {
	case e.stage == acquiring || e.stage == storing:
	case e.reason != "" || !e.lastLease.Address.IsValid(): // lost, or never got: the new sandbox takes what there is
		k.restart(e)
	default:
		if e.stage == releasing { // not sent yet: it is held again
			e.client, e.release = dhcp4.Adopt(k.params(req, e.who.mac), k.rng, e.lastLease), nil
		}
		e.stage = storing
		k.save(e, func(err error) { forget(err); k.kept(e, err) })
	}
	k.due.set(e)
}

// resettle moves an entry whose request names another way.
func (k *Keeper) resettle(e *entry, req leaseapi.Request) *segment {
	s := k.segmentOf(req)
	if s != e.segment {
		k.land(e, k.cfg.Now())
	}
	return s
}

// restart asks anew where a lease had been lost.
func (k *Keeper) restart(e *entry) {
	k.land(e, k.cfg.Now())
	e.stage, e.reason, e.lastLease = acquiring, "", dhcp4.Lease{}
	e.client = dhcp4.New(k.params(e.req, e.who.mac), k.rng)
	e.segment.enter(e, adds)
}

// granted stores what the server has granted before anybody is told.
func (k *Keeper) granted(e *entry, now time.Duration) {
	e.lastLease, _ = e.client.Lease()
	if e.stage == lost {
		k.cfg.Log.Info("lease is back", "key", e.key.String(), "address", e.lastLease.Address.String())
		e.stage, e.reason = held, ""
		k.save(e, nil)
		k.cfg.Changed(k.view(e))
		return
	}
	e.stage = storing
	k.cfg.Observer.Acquired(now - e.began)
	k.save(e, func(err error) { k.kept(e, err) })
}

// kept answers an Acquire once its lease is on disk.
func (k *Keeper) kept(e *entry, err error) {
	if e.gone || e.stage != storing {
		return
	}
	if err != nil {
		k.fail(e, &leaseapi.Error{Code: leaseapi.CodeIO, Msg: "the lease could not be stored: " + err.Error(), Details: "is there room in " + k.cfg.Dir + "?"})
		return
	}
	e.stage = pending
	k.due.set(e)
	e.answer(outcome{lease: k.view(e)})
}

// abandon is for a caller that went away.
func (k *Keeper) abandon(key leaseapi.Key, w *waiter) {
	e := k.leases[key]
	if e == nil {
		return
	}
	for i, other := range e.waiters {
		if other == w {
			e.waiters = append(e.waiters[:i], e.waiters[i+1:]...)
			break
		}
	}
	if len(e.waiters) == 0 && (e.stage == acquiring || e.stage == storing) {
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

// noAnswer tells what was sent, what was seen, and what to check.
func (k *Keeper) noAnswer(e *entry, now time.Duration) error {
	c := e.client.Counts()
	where := e.req.Uplink
	if e.req.Transport == leaseapi.FromPod {
		where = e.key.IfName + " in the Pod"
	}
	took := (now - e.began).Round(time.Second)
	wanted, check := "DHCPOFFER", "is DHCP served on this segment, and does the switch port allow this MAC?"
	if c.Offers > 0 {
		wanted, check = "DHCPACK", "the server offers and does not grant: what does its log say?"
	}
	sent := fmt.Sprintf("%d DISCOVER sent", c.Discovers)
	if c.Requests > 0 {
		sent = fmt.Sprintf("%d DISCOVER and %d REQUEST sent", c.Discovers, c.Requests)
	}
	msg := fmt.Sprintf("no %s on %s in %s: %s%s, %d frames for %s", wanted, where, took, sent, k.carrier(e), e.seen, e.req.MAC)
	if c.NAKs > 0 {
		msg += fmt.Sprintf(", %d DHCPNAK", c.NAKs)
	}
	if c.Refused != nil {
		msg += ", the last offer was refused: " + c.Refused.Error()
	}
	return &leaseapi.Error{Code: leaseapi.CodeTryAgainLater, Msg: msg, Details: check}
}

func (k *Keeper) carrier(e *entry) string {
	if e.req.Transport == leaseapi.FromPod {
		return ""
	}
	switch present, carrier := k.cfg.Wire.State(e.req.Uplink); {
	case !present:
		return ", " + e.req.Uplink + " is gone"
	case !carrier:
		return ", no carrier"
	}
	return ", carrier up"
}
