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
	station station
	pacers  [2]*pacer // its cable's for DHCP, and for ARP, if it has an ear
	pace    int       // 0: it does not count so far
}

// enlist has the entry count: its MAC is ours, its cable keeps its pace. Once
// more, for an entry whose request is another now.
func (k *Keeper) enlist(e *entry) {
	now, before := k.cfg.Now(), e.counted
	e.counted = counted{
		station: station{vlan: e.domain().VLAN, mac: e.who.mac},
		pacers:  [2]*pacer{&e.segment.cable.packets}, pace: paceOf(e.req.Pace),
	}
	if e.domain().Link != "" {
		e.pacers[1] = &k.earOf(e).cable.arp
	}
	k.macs[e.station]++
	for _, p := range e.pacers {
		if p != nil {
			p.join(e.pace, now)
		}
	}
	k.unlist(before, now)
}

func (k *Keeper) unlist(c counted, now time.Duration) {
	if c.pace == 0 {
		return
	}
	for _, p := range c.pacers {
		if p != nil {
			p.leave(c.pace, now)
		}
	}
	if k.macs[c.station]--; k.macs[c.station] == 0 {
		delete(k.macs, c.station)
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
		k.unlist(f.entry.counted, now)
	}
	return dhcp4.Never
}
