package lease

import (
	"time"

	"github.com/podlan/podlan/pkg/dhcp4"
)

// reserveTime is how long a lease is kept after a reboot for its client to come
// again: its Pod is gone, and shall have the same address in its next sandbox.
const reserveTime = 10 * time.Minute

// adopt makes an entry of a file. Whether its Pod is still there, Confirm
// tells; what ran out meanwhile is lost in Run's first turn, and asked for
// again once its Pod is known to be there.
func (k *Keeper) adopt(s stored, now time.Duration) {
	e := k.newEntry(s.Key, s.Request)
	switch {
	case k.clients[e.who] != nil && s.noted:
		return // what came of it is on disk
	case k.clients[e.who] != nil:
		k.erase(s.Key, nil) // a kill came between taking over and forgetting
		return
	}
	if !e.segment.plugged && s.Below.VID != 0 {
		e.segment.below = s.Below
	}
	l := s.Lease
	rebooted := s.BootID != k.cfg.BootID
	if rebooted {
		l = sinceBoot(l, now, k.cfg.Wall().Sub(s.AcquiredAt))
	}
	if s.noted {
		e.mark.line = k.journal.keepAgain(s)
	} else {
		e.files, k.files[s.Key] = append(e.files, s.Key), e
	}
	e.stage, e.lastLease, e.confirmBy, e.unsure = pending, l, now, true
	switch {
	case s.Void, s.Owed && s.Lost == "":
		e.stage, e.owed, e.dues, e.retry = releasing, true, l, dhcp4.Never
		e.segment.enter(e, releases)
	case s.Lost != "":
		e.stage, e.reason = lost, s.Lost
		l.T1, l.T2, l.Expiry = now, now, now
	case rebooted:
		e.stage, e.confirmBy = reserved, min(now+reserveTime, l.Expiry)
	}
	if s.Void { // whoever comes for it begins anew
		e.claims = []claim{{lease: l}}
	} else {
		e.client = dhcp4.Adopt(k.params(e), k.rng, l)
	}
	k.leases[e.key], k.clients[e.who] = e, e
	k.enlist(e)
	k.set(e)
}

// sinceBoot brings a lease of another boot, acquired that long ago, onto this
// one's clock. A wall clock that stands before then tells nothing: such a lease
// is renewed at once.
func sinceBoot(l dhcp4.Lease, now, age time.Duration) dhcp4.Lease {
	l = l.Shift(now - min(max(age, 0), century) - l.Acquired)
	if age < 0 && !l.Infinite() {
		l.T1 = now
	}
	return l
}
