package lease

import (
	"time"

	"github.com/podlan/podlan/pkg/dhcp4"
)

// formerTime is how long an entry that is over still counts: its Pod's kernel
// may answer ARP for a moment, its RELEASE is repeated, a late ACK gets another.
const formerTime = lateTime + 10*time.Second

// former is an entry that is over.
type former struct {
	entry *entry
	until time.Duration
}

// counted is where an entry counts, beside the keeper's maps.
type counted struct {
	pacers [2]*pacer // its segment's for DHCP, and for ARP, if it has one
	pace   int
}

// enlist has the entry count: its MAC is ours, its segment keeps its pace. Once
// more, for an entry whose request is another now.
func (k *Keeper) enlist(e *entry) {
	now := k.cfg.Now()
	if e.pace == 0 {
		k.macs[e.who.mac]++
	}
	before := e.counted
	e.counted = counted{pace: paceOf(e.req.Pace), pacers: [2]*pacer{&e.segment.packets}}
	if link := e.link(); link != "" {
		e.pacers[1] = &k.earOf(link).packets
	}
	for _, p := range e.pacers {
		if p != nil {
			p.join(e.pace, now)
		}
	}
	before.leave(now)
}

func (c counted) leave(now time.Duration) {
	for _, p := range c.pacers {
		if p != nil {
			p.leave(c.pace, now)
		}
	}
}

// endFormers forgets what is over for good, and returns when the next is.
func (k *Keeper) endFormers(now time.Duration) time.Duration {
	for len(k.formers) > 0 {
		f := k.formers[0]
		if now < f.until {
			return f.until
		}
		k.formers[0] = former{}
		k.formers = k.formers[1:]
		if e := f.entry; e.queued || e.retry != dhcp4.Never || e.late != 0 {
			k.formers = append(k.formers, former{entry: e, until: now + formerTime})
			continue
		}
		f.entry.leave(now)
		if k.macs[f.entry.who.mac]--; k.macs[f.entry.who.mac] == 0 {
			delete(k.macs, f.entry.who.mac)
		}
	}
	return dhcp4.Never
}
