package lease

import (
	"time"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// What a segment bears. 1,000 clients at once took dnsmasq 64 s unpaced and
// 3.5 s with a window: beyond it packets are lost in the server's socket
// buffer and come again after seconds.
const (
	firstWindow = 16
	mostWindow  = 32
	leastWindow = 4
)

// lane is a priority, the most urgent first.
type lane int

const (
	answers    lane = iota // the next message of an exchange in flight
	declines               // nothing answers them
	releases               // nothing answers them, so they need no room
	renewals               // of what Pods use
	adds                   // for which Pods wait
	retries                // of ADDs without an answer: others may get one
	repeats                // of releases
	background             // for what was lost
	lanes
)

// place is an entry's in a lane. It counts while the entry bears its ticket; one
// with a message of its own does so always, and is no place of the entry's.
type place struct {
	entry  *entry
	ticket int
	last   *lastWord
}

// segment is what the clients in one VLAN of one uplink, or of one bridge, share.
type segment struct {
	uplink, bridge string
	vlan, tag      uint16 // the tag is what frames bear on the uplink
	window, flying int
	queues         [lanes][]place
	cable          *cable
	plugged        bool          // its NIC is known
	below          below         // from this boot or a former podland's file
	conn           *link         // the uplink's, open while anything is in flight
	closeAt        time.Duration // when an idle conn is closed
}

// way names a segment.
type way struct {
	transport leaseapi.Transport
	link      string
	vlan, tag uint16
}

func wayOf(req leaseapi.Request) way {
	switch {
	case req.Transport == leaseapi.FromPod:
		return way{transport: req.Transport, link: req.Bridge, vlan: req.VLAN}
	case req.Untagged:
		return way{transport: req.Transport, link: req.Uplink, vlan: req.VLAN}
	}
	return way{transport: req.Transport, link: req.Uplink, vlan: req.VLAN, tag: req.VLAN}
}

// segmentOf returns the segment that the request's exchanges count for.
func (k *Keeper) segmentOf(req leaseapi.Request) *segment {
	w := wayOf(req)
	s := k.segments[w]
	if s == nil {
		s = &segment{uplink: req.Uplink, bridge: req.Bridge, vlan: w.vlan, tag: w.tag, window: firstWindow}
		k.segments[w] = s
	}
	k.plug(s)
	return s
}

// name is that of the link to which it belongs.
func (s *segment) name() string {
	if s.uplink != "" {
		return s.uplink
	}
	return s.bridge
}

func (s *segment) domain() Domain { return Domain{Link: s.name(), VLAN: s.vlan} }

// answered lets the window grow, unanswered lets it shrink.
func (s *segment) answered() { s.window = min(mostWindow, s.window+1) }

func (s *segment) unanswered() { s.window = max(leastWindow, s.window/2) }

// enter queues the entry. An entry has one place at a time: the one it has, if
// it has one.
func (s *segment) enter(e *entry, l lane) {
	if e.queued {
		return
	}
	e.queued = true
	s.queues[l] = append(s.queues[l], place{entry: e, ticket: e.ticket})
}

// leave gives up the entry's place.
func (*segment) leave(e *entry) {
	if e.queued {
		e.queued = false
		e.ticket++
	}
}

// ready returns the lane whose first may go, and when: later than now if none
// may, Never if none wants to.
func (s *segment) ready(now time.Duration) (lane, time.Duration) {
	packet := s.cable.packets.ready(now)
	at := dhcp4.Never
	for l := range lanes {
		switch {
		case s.empty(l):
		case l == releases || l == repeats:
			if at = min(at, max(packet, s.cable.releases.ready(now))); at <= now {
				return l, now
			}
		case l == answers || l == declines || s.flying < s.window:
			return l, min(at, packet)
		}
	}
	return lanes, at
}

// empty tells whether nobody waits in the lane, and throws away given-up places.
func (s *segment) empty(l lane) bool {
	q := s.queues[l]
	for len(q) > 0 && q[0].last == nil && q[0].ticket != q[0].entry.ticket {
		q[0] = place{}
		q = q[1:]
	}
	s.queues[l] = q
	return len(q) == 0
}

// take takes the lane's first out, and the token for its packet.
func (s *segment) take(l lane) place {
	p := s.queues[l][0]
	s.queues[l][0] = place{}
	s.queues[l] = s.queues[l][1:]
	if p.last == nil {
		s.leave(p.entry)
	}
	s.cable.packets.spend()
	if l == releases || l == repeats {
		s.cable.releases.spend()
	}
	return p
}
