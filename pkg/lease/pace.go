package lease

import "time"

const (
	// packetRate bounds packets per second, of DHCP and of ARP, where no lease
	// asks for less.
	packetRate = 500
	// packetBurst is what may go beyond it: all Pods of a node that come at once,
	// after a boot say, shall not wait for the rate. The window bounds already how
	// many exchanges are in flight, and follows what the server answers; the rate
	// is for what goes on for long.
	packetBurst = 3 * packetRate
	// releaseRate is lower, and so is its burst: nobody answers a RELEASE, so
	// nothing tells that they come too fast.
	releaseRate  = 150
	releaseBurst = 32
)

// bucket is a token bucket.
type bucket struct {
	rate, tokens, most float64
	filled             time.Duration
}

func newBucket(rate, burst float64, now time.Duration) bucket {
	return bucket{rate: rate, tokens: burst, most: burst, filled: now}
}

// ready returns when there is a token: now, or later.
func (b *bucket) ready(now time.Duration) time.Duration {
	b.fill(now)
	if b.tokens >= 1 {
		return now
	}
	return now + time.Duration((1-b.tokens)/b.rate*float64(time.Second)) + time.Millisecond
}

func (b *bucket) fill(now time.Duration) {
	b.tokens = min(b.most, b.tokens+b.rate*(now-b.filled).Seconds())
	b.filled = now
}

// spend takes the token that ready has promised.
func (b *bucket) spend() { b.tokens-- }

// pacer is a bucket as slow as the slowest of those that use it want it.
type pacer struct {
	bucket
	wanted map[int]int // how many want each pace, in packets per second
}

func newPacer(now time.Duration) pacer {
	return pacer{bucket: newBucket(packetRate, packetBurst, now), wanted: map[int]int{}}
}

func (p *pacer) join(pace int, now time.Duration) {
	p.wanted[pace]++
	p.adjust(now)
}

func (p *pacer) leave(pace int, now time.Duration) {
	if p.wanted[pace]--; p.wanted[pace] == 0 {
		delete(p.wanted, pace)
	}
	p.adjust(now)
}

// adjust follows the lowest pace. A switch counts packets per second, and shuts
// the port at one too many: what a bucket lets pass within a second, its burst
// and its rate, must not be more than the pace. A twentieth is left for what
// wobbles on the way out.
func (p *pacer) adjust(now time.Duration) {
	p.fill(now)
	pace := packetRate
	for wanted := range p.wanted {
		pace = min(pace, wanted)
	}
	p.rate, p.most = packetRate, packetBurst
	if pace < packetRate {
		p.rate, p.most = float64(pace)*19/20, float64(max(1, pace/20))
	}
	p.tokens = min(p.tokens, p.most)
}

// paceOf is what a request wants, in packets per second.
func paceOf(pace int) int {
	if pace <= 0 || pace > packetRate {
		return packetRate
	}
	return pace
}
