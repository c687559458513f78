package lease

import (
	"time"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/fault"
)

// wake does what an entry is due for.
func (k *Keeper) wake(e *entry, now time.Duration) {
	switch {
	case e.stage == releasing:
		k.giveAgain(e)
		return
	case e.stage == reserved:
		k.cfg.Log.Info("nobody came for a lease of before the reboot, giving it back", "key", e.key.String())
		k.giveBack(e, nil)
		return
	case e.awaited() && now >= e.giveUp:
		k.fail(e, k.noAnswer(e, now))
		return
	case e.judgeable() && now >= e.confirmBy:
		k.judge(e)
	}
	if e.slot && now >= e.slotEnd {
		e.segment.unanswered()
		e.free()
	}
	if e.conn != nil && now >= e.listen {
		k.land(e, now)
	}
	if e.resends() && now >= e.again {
		e.again = 0
		e.segment.enter(e, e.lane(now))
	}
	if e.detector != nil && now >= e.detector.Deadline() {
		e.ear.enter(e)
	}
	if !e.muted() && (e.expired(now) || !e.queued && e.client.Deadline() <= now) {
		k.ask(e, now)
	}
	k.set(e)
}

// ask has the client go on: at once if the lease is over, else when the segment
// has room.
func (k *Keeper) ask(e *entry, now time.Duration) {
	if e.slot {
		e.segment.unanswered()
		e.free()
	}
	if e.expired(now) {
		k.apply(e, e.client.Tick(now), now)
		return
	}
	e.segment.enter(e, e.lane(now))
}

// lane is what the entry's next exchange waits in.
func (e *entry) lane(now time.Duration) lane {
	l, bound := e.client.Lease()
	switch {
	case e.stage == lost, bound && now < l.T1: // it is only verified
		return background
	case bound:
		return renewals
	case e.client.Counts().Discovers > 0:
		return retries
	}
	return adds
}

// goOn sends what the entry wants to send now that its turn has come.
func (k *Keeper) goOn(e *entry, now time.Duration) {
	if !e.slot {
		e.slot, e.slotEnd = true, now+silence
		e.segment.flying++
	}
	d := e.out
	e.out = nil
	if d != nil && now < e.client.Deadline() {
		k.put(e, *d, now)
	} else {
		out := e.advance(now)
		k.became(e, out, now)
		for _, d := range out.Send {
			k.put(e, d, now)
		}
	}
	k.settle(e, now)
}

// advance has the client begin, or go on.
func (e *entry) advance(now time.Duration) dhcp4.Output {
	if e.client.State() != dhcp4.Init || e.client.Deadline() != dhcp4.Never {
		return e.client.Tick(now)
	}
	if !e.former.Address.IsValid() {
		return e.client.Start(now)
	}
	out := e.client.Reboot(now, e.former)
	if e.stage != lost {
		e.client.TakeAny() // a new sandbox can have another
	}
	return out
}

// apply carries out what the client wants: within an exchange next, else when
// the segment has room for another.
func (k *Keeper) apply(e *entry, out dhcp4.Output, now time.Duration) {
	k.became(e, out, now)
	for _, d := range out.Send {
		e.segment.leave(e)
		e.out = &d
		k.noteAsked(e)
		k.queueUp(e)
	}
	k.settle(e, now)
}

// queueUp queues the entry's message.
func (*Keeper) queueUp(e *entry) {
	switch {
	case e.muted():
	case e.slot:
		e.segment.enter(e, answers)
	case e.stage == lost:
		e.segment.enter(e, background)
	default:
		e.segment.enter(e, renewals) // a late OFFER must not grow later
	}
}

// became takes note of what became of the lease.
func (k *Keeper) became(e *entry, out dhcp4.Output, now time.Duration) {
	switch out.Change {
	case dhcp4.Granted:
		k.granted(e, now)
	case dhcp4.Extended:
		fault.Point("lease.renewed")
		e.lastLease, _ = e.client.Lease()
		k.cfg.Observer.Extended()
		k.save(e, nil)
	case dhcp4.Lost:
		if e.stage != lost { // not already so when podland started
			k.lose(e, out.Reason)
		}
	case dhcp4.Unchanged:
	}
}

// settle ends the exchange if nothing is to come any more, and sets the next
// deadline.
func (k *Keeper) settle(e *entry, now time.Duration) {
	if e.stage == releasing || e.gone {
		return // it failed on the way
	}
	if !e.client.Waiting() {
		e.segment.leave(e)
		e.out = nil
	}
	if !e.client.Waiting() || e.muted() {
		k.land(e, now)
	}
	k.set(e)
}
