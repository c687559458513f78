package lease

import (
	"slices"
	"strings"
	"time"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// askAgain is how long an undecided verdict lasts.
const askAgain = 10 * time.Second

// judge asks what became of a pending lease's ADD.
func (k *Keeper) judge(e *entry) {
	e.judging = true
	question := k.question(e)
	go func() {
		verdict := k.cfg.Confirm(question)
		k.later(func() { k.judged(e, question.Key, verdict) })
	}()
}

func (k *Keeper) question(e *entry) Held {
	l, _ := e.terms()
	return Held{Key: e.key, Request: e.req, Lease: l}
}

func (k *Keeper) judged(e *entry, key leaseapi.Key, v Verdict) {
	e.judging = false
	if e.gone || e.stage != pending || e.key != key {
		return
	}
	switch v {
	case Confirmed:
		e.stage = held
	case Wait:
		e.confirmBy = k.cfg.Now() + askAgain
	case Refuted:
		k.cfg.Log.Info("the ADD of this lease never finished, giving it back", "key", e.key.String())
		k.giveBack(e, nil)
		return
	}
	k.due.set(e)
}

// lose: the address must not be used any more. The client goes on asking for
// the same one.
func (k *Keeper) lose(e *entry, reason string) {
	k.cfg.Log.Warn("lease lost", "key", e.key.String(), "address", e.lastLease.Address.String(), "reason", reason)
	k.cfg.Observer.Lost()
	e.stage, e.reason = lost, reason
	k.save(e, nil)
	k.cfg.Changed(k.view(e))
}

// Get returns the key's lease.
func (k *Keeper) Get(key leaseapi.Key) (leaseapi.Lease, bool) {
	for _, l := range k.List() {
		if l.Key == key {
			return l, true
		}
	}
	return leaseapi.Lease{}, false
}

// List returns all leases, sorted by key. Pending ones are judged on the way,
// so that a finished ADD is seen as one.
func (k *Keeper) List() []leaseapi.Lease {
	k.confirmPending()
	var all []leaseapi.Lease
	_ = k.do(func() {
		for _, e := range k.leases {
			if e.stage != releasing {
				all = append(all, k.view(e))
			}
		}
	})
	slices.SortFunc(all, func(a, b leaseapi.Lease) int { return strings.Compare(a.Key.String(), b.Key.String()) })
	return all
}

func (k *Keeper) confirmPending() {
	var questions []Held
	_ = k.do(func() {
		for _, e := range k.leases {
			if e.stage == pending {
				questions = append(questions, k.question(e))
			}
		}
	})
	for _, q := range questions {
		if k.cfg.Confirm(q) != Confirmed {
			continue // the rest is for the deadline
		}
		_ = k.do(func() {
			if e := k.leases[q.Key]; e != nil && e.stage == pending {
				e.stage = held
				k.due.set(e)
			}
		})
	}
}

// Segments returns where leases are held.
func (k *Keeper) Segments() []leaseapi.Segment {
	var all []leaseapi.Segment
	_ = k.do(func() {
		for _, s := range k.segments {
			n := 0
			for _, e := range k.leases {
				if e.segment == s && e.stage != releasing {
					n++
				}
			}
			if n > 0 {
				all = append(all, leaseapi.Segment{Uplink: s.uplink, Bridge: s.bridge, Leases: n})
			}
		}
	})
	for i := range all {
		name := all[i].Uplink
		if name == "" {
			name = all[i].Bridge
		}
		all[i].Present, all[i].Carrier = k.cfg.Wire.State(name)
	}
	slices.SortFunc(all, func(a, b leaseapi.Segment) int { return strings.Compare(a.Uplink+a.Bridge, b.Uplink+b.Bridge) })
	return all
}
