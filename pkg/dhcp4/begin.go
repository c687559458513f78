package dhcp4

import (
	"net/netip"
	"time"
)

// Start begins an acquisition of whatever address with DISCOVER.
func (c *Client) Start(now time.Duration) Output {
	c.began, c.counts, c.naks = now, Counts{}, 0
	c.held, c.former, c.only = false, nil, netip.Addr{}
	return c.discover(now)
}

// Reboot asks all servers for the address of a former lease (INIT-REBOOT, RFC
// 2131 §3.2), and turns to DISCOVER on a NAK or silence. Of the former lease
// only the address has to be known; with its Server, Release can give it back.
// The client is tied to the address: right for what uses it already, a lease
// whose file is gone. Who only would like it again, as a new sandbox after a
// node's reboot, calls TakeAny next.
func (c *Client) Reboot(now time.Duration, former Lease) Output {
	if !former.Address.Addr().Is4() {
		return c.Start(now)
	}
	c.began, c.counts, c.naks = now, Counts{}, 0
	c.held = false
	c.former, c.offered, c.wish = &former, former, former.Address.Addr()
	c.tie(c.wish)
	c.state, c.try = Rebooting, 0
	c.newXID()
	return c.request(now)
}

// tie makes address the only one that is taken until a lease is granted.
func (c *Client) tie(address netip.Addr) {
	if !c.params.AnyAddress {
		c.only = address
	}
}

// TakeAny unties a client that has just lost or declined a lease of which
// nobody was told, or that asks for a former one by Reboot: the search takes
// any address. The next loss ties it again. Nothing while a lease is held.
func (c *Client) TakeAny() {
	if c.held {
		return
	}
	c.only = netip.Addr{}
}

// Verify makes the next try to extend the held lease due at once, in BOUND,
// RENEWING and REBINDING; nothing in other states. If its server does not
// answer, all are asked (REBINDING) after 4 and 8 s: a link that has just come
// back may not carry yet, or lead to another network, whose server then refuses
// the address. 16 s later the pace of RFC 2131 §4.4.5 returns.
func (c *Client) Verify(now time.Duration) {
	if c.held {
		c.quick, c.try, c.deadline = verifyTries, 0, min(c.deadline, now)
	}
}

// Release ends everything and returns the DHCPRELEASE for what is held, or may
// have been granted without our knowing; none if neither.
func (c *Client) Release() Output {
	lease, due := c.lease, c.held
	switch {
	case due:
	case c.state == Requesting:
		lease, due = c.offered, true
	case c.former != nil:
		lease, due = *c.former, true
	}
	c.state, c.held, c.former, c.only, c.deadline = Init, false, nil, netip.Addr{}, Never
	if !due || !lease.Server.IsValid() {
		return Output{}
	}
	c.newXID()
	return Output{Send: []Datagram{c.release(lease)}}
}
