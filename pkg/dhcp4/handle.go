package dhcp4

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Why a reply of ours is of no use; Counts.Refused wraps them.
var (
	// ErrOtherClient: it echoes another client-id (RFC 6842 §3).
	ErrOtherClient = errors.New("it echoes another client-id")
	// ErrOtherServer: it does not come from the server that was asked.
	ErrOtherServer = errors.New("it comes from another server than the one asked")
	// ErrServerNotAllowed: Params.Servers does not hold its server.
	ErrServerNotAllowed = errors.New("its server is not one of those allowed")
)

// Handle takes a reply. What does not belong to the transaction, or is of no
// use in this state, changes nothing but Counts.
func (c *Client) Handle(now time.Duration, r Reply) Output {
	if !c.Waiting() || r.Client != c.params.MAC {
		return Output{}
	}
	c.counts.Seen++
	if r.XID != c.xid {
		return Output{}
	}
	if !c.ourID(r) {
		return c.refuse(r, ErrOtherClient)
	}
	if server, _ := option4(r.msg, dhcpv4.OptionServerIdentifier); !c.allowed(server) {
		return c.refuse(r, fmt.Errorf("%w: %s", ErrServerNotAllowed, named(server)))
	}
	switch {
	case r.Type == dhcpv4.MessageTypeOffer && c.state == Selecting:
		return c.handleOffer(now, r)
	case r.Type == dhcpv4.MessageTypeAck && c.state == Selecting && c.rapid():
		return c.handleCommit(now, r)
	case r.Type == dhcpv4.MessageTypeAck && c.state != Selecting:
		return c.handleACK(now, r)
	case r.Type == dhcpv4.MessageTypeNak && c.state != Selecting:
		return c.handleNAK(now, r)
	}
	return Output{}
}

// ourID checks the client-id that a server may echo (RFC 6842 §3).
func (c *Client) ourID(r Reply) bool {
	echoed, there := r.msg.Options[uint8(dhcpv4.OptionClientIdentifier)]
	return !there || len(c.params.ClientID) == 0 || bytes.Equal(echoed, c.params.ClientID)
}

func (c *Client) handleACK(now time.Duration, r Reply) Output {
	lease, times, err := terms(r)
	if err == nil && c.state == Requesting && lease.Server != c.offered.Server {
		err = fmt.Errorf("%w: %s, not %s", ErrOtherServer, lease.Server, c.offered.Server)
	}
	if err != nil {
		return c.refuse(r, err)
	}
	if asked := c.asked().Address.Addr(); lease.Address.Addr() != asked {
		return c.lose(now, fmt.Sprintf("server %s granted %s instead of %s", lease.Server, lease.Address.Addr(), asked))
	}
	return c.take(now, r, c.stamp(lease, times))
}

// take holds a lease from now on.
func (c *Client) take(now time.Duration, r Reply, lease Lease) Output {
	if now >= lease.Expiry {
		return c.refuse(r, errors.New("the lease was over when it arrived"))
	}
	change := Granted
	if c.held {
		change = Extended
	} else {
		c.granted = now
	}
	c.lease, c.held, c.former = lease, true, nil
	c.only, c.wish = netip.Addr{}, lease.Address.Addr()
	c.state, c.try, c.naks, c.quick, c.deadline = Bound, 0, 0, 0, lease.T1
	return Output{Change: change}
}

// asked is the lease that the last REQUEST was about.
func (c *Client) asked() Lease {
	if c.held {
		return c.lease
	}
	return c.offered
}

// stamp counts the times from when the REQUEST was sent (RFC 2131 §4.4.1). T1
// comes up to a tenth early, and T2 by up to a tenth of what lies between them,
// so that Pods that started together drift apart (§4.4.5).
func (c *Client) stamp(l Lease, t lifetimes) Lease {
	l.Acquired = c.sentAt
	if t.lease == Never {
		l.T1, l.T2, l.Expiry = Never, Never, Never
		return l
	}
	l.T1, l.T2, l.Expiry = c.sentAt+t.t1, c.sentAt+t.t2, c.sentAt+t.lease
	l.T1 -= c.tenth(t.t1)
	l.T2 -= c.tenth(t.t2 - t.t1)
	return l
}

// tenth is a random part of d, less than a tenth.
func (c *Client) tenth(d time.Duration) time.Duration {
	return time.Duration(c.rng.Int64N(max(1, int64(d/10))))
}

// handleNAK begins anew. One that was asked by name has to answer itself; in
// REBOOTING and REBINDING all servers were asked.
func (c *Client) handleNAK(now time.Duration, r Reply) Output {
	server, ok := option4(r.msg, dhcpv4.OptionServerIdentifier)
	if (c.state == Requesting || c.state == Renewing) && ok && server != c.asked().Server {
		return c.refuse(r, fmt.Errorf("%w: %s, not %s", ErrOtherServer, server, c.asked().Server))
	}
	text := nakText(r, server)
	out := c.lose(now, text)
	c.counts.NAKs++
	c.counts.NAK = text
	return out
}

// nakText quotes the server's message (option 56), which may hold anything.
func nakText(r Reply, server netip.Addr) string {
	who := named(server)
	if why := bytes.TrimRight(r.msg.Options[uint8(dhcpv4.OptionMessage)], "\x00"); len(why) > 0 {
		return fmt.Sprintf("%s refused it (DHCPNAK, %q)", who, why)
	}
	return who + " refused it (DHCPNAK without a reason)"
}

func named(server netip.Addr) string {
	if !server.IsValid() {
		return "a server without a name"
	}
	return "server " + server.String()
}

func (c *Client) refuse(r Reply, why error) Output {
	c.counts.Refused = fmt.Errorf("DHCP%s: %w", r.Type, why)
	return Output{}
}
