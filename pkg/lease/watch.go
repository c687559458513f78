package lease

import (
	"time"

	"github.com/podlan/podlan/pkg/fault"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// askAgain is how long an undecided verdict lasts.
const askAgain = 10 * time.Second

// judge asks what became of the ADD.
func (k *Keeper) judge(e *entry) {
	e.judging = true
	question, tenure := k.question(e), e.tenure
	go k.offRun(func() {
		verdict := k.cfg.Confirm(question)
		k.later(func() { k.judged(e, tenure, verdict) })
	})
}

func (k *Keeper) question(e *entry) Held {
	l, _ := e.terms()
	return Held{Key: e.key, Request: e.req, Lease: l}
}

func (k *Keeper) judged(e *entry, tenure int, v Verdict) {
	if e.tenure != tenure || e.gone {
		return // about a former owner
	}
	e.judging = false
	if !e.judgeable() {
		return
	}
	switch v {
	case Confirmed:
		k.confirm(e)
	case Wait:
		e.confirmBy = k.cfg.Now() + askAgain
	case Refuted:
		k.cfg.Log.Info("the ADD of this lease never finished, giving it back", "key", e.key.String())
		k.giveBack(e, nil)
		return
	}
	k.set(e)
}

func (k *Keeper) confirm(e *entry) {
	e.unsure = false
	if e.stage == pending {
		e.stage = held
	}
	if e.announce && e.stage == held {
		k.tell(e, k.cfg.Now())
	}
	if e.out != nil { // held back while nobody knew whom for
		e.segment.enter(e, background)
	}
	k.set(e)
}

// lose: the address must not be used any more. The client goes on asking, for
// the same one unless the policy is to replace it.
func (k *Keeper) lose(e *entry, reason string) {
	k.cfg.Log.Warn("lease lost", "key", e.key.String(), "on", e.domain().String(), "address", e.lastLease.Address.String(), "reason", reason)
	fault.Point("lease.lost")
	if e.stage != lost && e.stage != returning {
		k.cfg.Observer.Lost()
	}
	e.answer(outcome{err: &leaseapi.Error{Code: leaseapi.CodeTryAgainLater, Msg: "the lease was lost at once: " + reason}})
	e.stage, e.reason = lost, reason
	if e.unsure {
		e.confirmBy = k.cfg.Now()
	}
	k.save(e, nil)
	k.cfg.Changed(k.view(e))
}
