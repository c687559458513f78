package dhcp4

import "time"

// Times of RFC 2131, and our own patience.
const (
	firstWait    = 4 * time.Second  // §4.1: before the first retransmission
	longestWait  = 64 * time.Second // §4.1
	waitJitter   = time.Second      // §4.1: plus or minus
	minRetry     = time.Minute      // §4.4.5: at least, in RENEWING and REBINDING
	maxRequests  = 3                // REQUESTs before an offer is given up
	rapidTries   = 4                // DISCOVERs in half a minute, of one transaction
	verifyTries  = 3                // after Verify: asked again soon
	firstNAKWait = 500 * time.Millisecond
	nakAtOnce    = 2                // NAKs that are followed by DISCOVER at once
	answerTime   = 10 * time.Second // servers that probe the address take up to 3 s
)

// Tick does what is due at or before now: sends again, renews, rebinds, finds
// the lease over. Before the deadline it does nothing.
func (c *Client) Tick(now time.Duration) Output {
	if now < c.deadline {
		return Output{}
	}
	switch c.state {
	case Init, Rebooting:
		return c.discover(now)
	case Selecting:
		return c.rediscover(now)
	case Requesting:
		if c.try >= maxRequests {
			return c.discover(now)
		}
		return c.request(now)
	case Bound, Renewing, Rebinding:
		return c.extend(now)
	}
	return Output{}
}

// discover begins a transaction.
func (c *Client) discover(now time.Duration) Output {
	c.state, c.try = Selecting, 0
	return c.rediscover(now)
}

// rediscover sends the same again. Who may be answered with a lease begins a
// new transaction once the waits are long, since the lease's times count from
// the transaction's first message.
func (c *Client) rediscover(now time.Duration) Output {
	if c.try == 0 || c.rapid() && c.try >= rapidTries {
		c.newXID()
		c.sentAt = now
	}
	c.counts.Discovers++
	return c.send(now, c.discovery(now))
}

// request asks for what was offered, or was held before a reboot. A retry is
// the same message of the same transaction; since nobody can tell which of
// them was answered, the lease's times count from the first.
func (c *Client) request(now time.Duration) Output {
	if c.try == 0 {
		c.sentAt = now
	}
	c.counts.Requests++
	return c.send(now, c.selection(now))
}

// send sets the time of the next try.
func (c *Client) send(now time.Duration, d Datagram) Output {
	c.deadline = now + c.backoff(c.try)
	c.listen = max(c.deadline, now+answerTime)
	c.try++
	return Output{Send: []Datagram{d}}
}

// extend renews, rebinds, or finds the lease over.
func (c *Client) extend(now time.Duration) Output {
	if now >= c.lease.Expiry {
		return c.lose(now, "the lease ran out, no server extended it")
	}
	if c.lease.Infinite() && c.quick == 0 && c.state != Bound {
		c.state, c.deadline = Bound, Never // verified in vain
		return Output{}
	}
	if c.state == Bound {
		c.began, c.counts, c.try = now, Counts{}, 0
	}
	c.state = Renewing
	end := c.lease.T2
	if again := c.quick > 0 && c.quick < verifyTries; again || now >= c.lease.T2 {
		c.state, end = Rebinding, c.lease.Expiry
	}
	return c.extendBy(now, end)
}

// extendBy asks once, in a transaction of its own; see the package comment. It
// asks again after half of what is left until end, at least 60 s, and never
// past end (RFC 2131 §4.4.5).
func (c *Client) extendBy(now, end time.Duration) Output {
	c.newXID()
	c.sentAt = now
	c.counts.Requests++
	left := end - now
	wait := max(left/2, minRetry)
	if c.quick > 0 {
		c.quick--
		wait = c.backoff(c.try)
	}
	c.try++
	c.deadline = now + min(left, wait)
	c.listen = now + answerTime
	return Output{Send: []Datagram{c.extension(now)}}
}

// lose gives up what is held, or is being asked for, and begins anew: at once
// the first two times, since a server that reserves no offers refuses some of
// those that come together, then with growing pauses.
func (c *Client) lose(now time.Duration, reason string) Output {
	out := Output{}
	if c.held {
		out = c.giveUp(now, reason)
	}
	c.former = nil
	c.naks++
	if c.naks > nakAtOnce {
		c.state, c.try = Init, 0
		c.deadline = now + c.nakPause(c.naks-nakAtOnce-1)
		return out
	}
	out.Send = c.discover(now).Send
	return out
}

// newXID numbers a transaction unlike the one before, and never 0.
func (c *Client) newXID() {
	for old := c.xid; c.xid == old || c.xid == 0; {
		c.xid = c.rng.Uint32()
	}
}

// nakPause is 0.5, 1, 2 and so on to 64 s, each less up to a third of it: clients
// that were offered one address ask in step, and would be refused in step again.
func (c *Client) nakPause(try int) time.Duration {
	wait := min(longestWait, firstNAKWait<<min(try, 8))
	return wait - time.Duration(c.rng.Int64N(int64(wait/3)))
}

// backoff is 4, 8, 16, 32, 64 s, each give or take 1 s (RFC 2131 §4.1).
func (c *Client) backoff(try int) time.Duration {
	wait := min(longestWait, firstWait<<min(try, 8))
	return wait - waitJitter + time.Duration(c.rng.Int64N(int64(2*waitJitter)))
}
