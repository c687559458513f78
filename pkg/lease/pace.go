package lease

import "time"

// What a segment bears. 1,000 clients at once took dnsmasq 64 s unpaced and
// 3.5 s with a window: beyond it packets are lost in the server's socket
// buffer and come again after seconds.
const (
	firstWindow = 16
	mostWindow  = 32
	leastWindow = 2
	// packetRate bounds DHCP packets per second, burst what may go at once.
	packetRate = 500
	burst      = 32
	// releaseRate is lower: nobody answers a RELEASE, so nothing tells that
	// they come too fast.
	releaseRate = 150
)

// lane is a priority. Renewals go before ADDs before background work.
type lane int

const (
	renewals lane = iota
	adds
	background
	lanes
)

// bucket is a token bucket.
type bucket struct {
	rate, tokens, most float64
	filled             time.Duration
}

func newBucket(rate float64, now time.Duration) bucket {
	return bucket{rate: rate, tokens: burst, most: burst, filled: now}
}

// take takes a token; false and when there will be one if there is none.
func (b *bucket) take(now time.Duration) (ok bool, at time.Duration) {
	b.tokens = min(b.most, b.tokens+b.rate*(now-b.filled).Seconds())
	b.filled = now
	if b.tokens >= 1 {
		b.tokens--
		return true, now
	}
	return false, now + time.Duration((1-b.tokens)/b.rate*float64(time.Second)) + time.Millisecond
}

// segment is what the clients of one uplink, or one bridge, share.
type segment struct {
	uplink, bridge string
	window, flying int
	queues         [lanes][]*entry
	giving         []*entry // releases: nothing answers them, so they need no room
	packets        bucket
	releases       bucket
	conn           *link         // the uplink's, open while anything is in flight
	closeAt        time.Duration // when an idle conn is closed
}

// room tells whether another exchange may begin.
func (s *segment) room() bool { return s.flying < s.window }

// answered lets the window grow; unanswered and refused let it shrink.
func (s *segment) answered() { s.window = min(mostWindow, s.window+1) }

func (s *segment) unanswered() { s.window = max(leastWindow, s.window/2) }

// enter queues the entry, once.
func (s *segment) enter(e *entry, l lane) {
	if e.queued {
		return
	}
	e.queued = true
	s.queues[l] = append(s.queues[l], e)
}

// head returns the first entry of the best lane that still wants to go, nil if
// none does. It stays where it is.
func (s *segment) head() *entry {
	for l := range s.queues {
		for len(s.queues[l]) > 0 {
			if e := s.queues[l][0]; !e.gone && e.stage != releasing {
				return e
			}
			s.pop(lane(l))
		}
	}
	return nil
}

// leave takes the entry that head returned out of its lane.
func (s *segment) leave(e *entry) {
	for l := range s.queues {
		if len(s.queues[l]) > 0 && s.queues[l][0] == e {
			s.pop(lane(l))
			return
		}
	}
}

func (s *segment) pop(l lane) {
	s.queues[l][0].queued = false
	s.queues[l][0] = nil
	s.queues[l] = s.queues[l][1:]
}
