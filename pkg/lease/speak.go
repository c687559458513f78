package lease

import (
	"time"

	"github.com/podlan/podlan/pkg/acd"
	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/wire"
)

// enter queues the entry's detector, whose time has come.
func (r *ear) enter(e *entry) {
	if e.said == e.detector {
		return
	}
	e.said = e.detector
	s := saying{entry: e, detector: e.detector}
	if e.probing {
		r.probes = append(r.probes, s)
	} else {
		r.announcements = append(r.announcements, s)
	}
}

// next takes out the first that is still wanted: probes, for which somebody may
// wait, before announcements.
func (r *ear) next() (saying, bool) {
	for _, queue := range []*[]saying{&r.probes, &r.announcements} {
		for len(*queue) > 0 {
			s := (*queue)[0]
			(*queue)[0] = saying{}
			*queue = (*queue)[1:]
			if s.entry.detector == s.detector {
				s.entry.said = nil
				return s, true
			}
		}
	}
	return saying{}, false
}

func (r *ear) silent() bool {
	return len(r.defences)+len(r.probes)+len(r.announcements) == 0
}

// speak lets go what the segment bears of ARP, and returns when it bears more.
// A detector's clock stands while it waits: its packets keep their distance.
func (k *Keeper) speak(r *ear, now time.Duration) time.Duration {
	if len(r.watchers) > 0 {
		k.openEar(r, now)
	}
	if !k.claims(r, now) {
		return r.watched + watchPause // nobody is asked before the answer is heard
	}
	for !r.silent() {
		if at := r.cable.arp.ready(now); at > now {
			return at
		}
		if len(r.defences) > 0 {
			k.say(r, r.defences[0])
			r.defences = r.defences[1:]
			continue
		}
		if s, ok := r.next(); ok {
			k.detected(s.entry, s.detector.Tick(now), now)
		}
	}
	if r.stale && r.conn != nil {
		return r.watched + watchPause
	}
	return r.rest(now)
}

// say sends one packet. What cannot be sent is left out: ARP loses packets.
func (k *Keeper) say(r *ear, p acd.Packet) {
	if r.conn == nil {
		return
	}
	r.cable.arp.spend()
	packet := wire.ARP{
		Reply: p.Reply, SenderMAC: wire.MAC(p.SenderMAC), TargetMAC: wire.MAC(p.TargetMAC), SenderIP: p.SenderIP, TargetIP: p.TargetIP,
	}
	err := r.conn.Send(packet)
	if missing(err) && k.anew(r, k.cfg.Now()) {
		err = r.conn.Send(packet)
	}
	if missing(err) && r.conn != nil {
		k.deafened(r, r.conn, err)
	}
}

// hearARP finds out whose address a packet is about. Our own Pods, those of a
// moment ago too, are no conflict.
func (k *Keeper) hearARP(r *ear, p wire.ARP) {
	if k.macs[station{vlan: r.domain.VLAN, mac: dhcp4.MAC(p.SenderMAC)}] > 0 {
		return
	}
	addr := p.SenderIP
	if addr.IsUnspecified() {
		addr = p.TargetIP
	}
	now := k.cfg.Now()
	packet := acd.Packet{
		Reply: p.Reply, SenderMAC: acd.MAC(p.SenderMAC), TargetMAC: acd.MAC(p.TargetMAC), SenderIP: p.SenderIP, TargetIP: p.TargetIP,
	}
	for _, e := range append([]*entry(nil), r.watchers[addr]...) {
		if e.ear == r && e.detector != nil {
			k.detected(e, e.detector.Handle(now, packet), now)
		}
	}
}

// detected carries out what a detector found. A defence goes before all else;
// what a Tick says has had its turn.
func (k *Keeper) detected(e *entry, out acd.Output, now time.Duration) {
	r := e.ear
	r.defences = append(r.defences, out.Send...)
	switch out.Verdict {
	case acd.Free:
		k.foundFree(e)
	case acd.Conflict:
		k.conflict(e, out.By, now)
	case acd.Nothing:
	}
	k.set(e)
}
