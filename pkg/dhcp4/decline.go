package dhcp4

import (
	"net/netip"
	"time"
)

// Pauses after a DECLINE.
const (
	firstPause   = 10 * time.Second // RFC 2131 §3.1: at least
	longestPause = 5 * time.Minute
	calm         = 10 * time.Minute // a lease that stood for it ends the growing
)

// Decline tells the server that the held address is in use by somebody else
// (RFC 2131 §4.4.4) and gives it up: Change is Lost. The search goes on after
// 10 s, and after twice as long each time, up to five minutes, until a lease
// has stood for ten. The client is tied to the address, unless TakeAny is
// called next: it is for who has told nobody of the lease yet. Nobody answers a
// DECLINE: Waiting is false while it is on its way. Nothing if no lease is held.
func (c *Client) Decline(now time.Duration, reason string) Output {
	if !c.held {
		return Output{}
	}
	if now-c.granted >= calm {
		c.declines = 0
	}
	pause := min(longestPause, firstPause<<min(c.declines, 8)) + time.Duration(c.rng.Int64N(int64(waitJitter)))
	c.declines++
	out := c.giveUp(now, reason)
	c.wish = netip.Addr{} // whoever takes any does not ask for this one again
	c.state, c.try, c.deadline = Init, 0, now+pause
	if c.lease.Server.IsValid() {
		c.newXID()
		out.Send = []Datagram{c.declination(c.lease, reason)}
	}
	return out
}

// giveUp ends the hold on a lease.
func (c *Client) giveUp(now time.Duration, reason string) Output {
	c.held = false
	c.wish = c.lease.Address.Addr()
	c.tie(c.wish)
	c.began, c.counts = now, Counts{}
	return Output{Change: Lost, Reason: reason}
}
