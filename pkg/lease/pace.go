package lease

import "time"

const (
	// packetRate bounds DHCP packets per second, burst what may go at once.
	packetRate = 500
	burst      = 32
	// releaseRate is lower: nobody answers a RELEASE, so nothing tells that
	// they come too fast.
	releaseRate = 150
)

// bucket is a token bucket.
type bucket struct {
	rate, tokens, most float64
	filled             time.Duration
}

func newBucket(rate float64, now time.Duration) bucket {
	return bucket{rate: rate, tokens: burst, most: burst, filled: now}
}

// ready returns when there is a token: now, or later.
func (b *bucket) ready(now time.Duration) time.Duration {
	b.tokens = min(b.most, b.tokens+b.rate*(now-b.filled).Seconds())
	b.filled = now
	if b.tokens >= 1 {
		return now
	}
	return now + time.Duration((1-b.tokens)/b.rate*float64(time.Second)) + time.Millisecond
}

// spend takes the token that ready has promised.
func (b *bucket) spend() { b.tokens-- }
