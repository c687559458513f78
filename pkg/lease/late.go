package lease

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// lateTime is how long the ACK of a slow server is listened for after its
// REQUEST was given up: as long as RFC 2131 §4.1 would have a client wait.
const lateTime = 64 * time.Second

// maxClaims bounds what is remembered of one acquisition.
const maxClaims = 4

// claim is an unanswered REQUEST for an address that was not held, or a DISCOVER
// that may be granted at once (RFC 4039): the server may have granted it without
// our knowing. Of the lease only the address and the server count; either may be
// unknown until the ACK.
type claim struct {
	flight     flight
	lease      dhcp4.Lease
	unanswered int // messages
}

// known: enough for a RELEASE.
func (c claim) known() bool { return c.lease.Address.IsValid() && c.lease.Server.IsValid() }

// late is a given-up entry that listens for ACKs until then.
type late struct {
	entry *entry
	until time.Duration
}

// claim remembers the message. A renewal's needs none: its lease is known.
func (e *entry) claim(d dhcp4.Datagram) {
	if _, ok := e.client.Lease(); ok || d.Type == dhcpv4.MessageTypeDiscover && !e.req.RapidCommit {
		return
	}
	m, err := dhcpv4.FromBytes(d.Payload)
	if err != nil {
		return
	}
	var l dhcp4.Lease
	if address, ok := netip.AddrFromSlice(m.RequestedIPAddress().To4()); ok && d.Type == dhcpv4.MessageTypeRequest {
		server, _ := netip.AddrFromSlice(m.ServerIdentifier().To4())
		l = dhcp4.Lease{Address: netip.PrefixFrom(address, address.BitLen()), Server: server, ServerMAC: e.server}
	}
	xid := binary.BigEndian.Uint32(m.TransactionID[:])
	if n := len(e.claims); n > 0 && e.claims[n-1].flight.xid == xid { // the same transaction
		e.claims[n-1].unanswered++
		e.claims[n-1].lease = l
		return
	}
	if len(e.claims) == maxClaims {
		e.claims = e.claims[1:]
	}
	e.claims = append(e.claims, claim{flight: flight{xid: xid, mac: e.who.mac, segment: e.segment}, unanswered: 1, lease: l})
}

// unclaim forgets a REQUEST that was refused.
func (e *entry) unclaim(xid uint32) {
	e.claims = slices.DeleteFunc(e.claims, func(c claim) bool { return c.flight.xid == xid })
}

// listenLate keeps the ear open for ACKs to what is being given up. In a Pod it
// does not, for a socket there would keep its namespace alive.
func (k *Keeper) listenLate(e *entry, now time.Duration) {
	if len(e.claims) == 0 || e.req.Transport != leaseapi.FromUplink || k.open(e) != nil {
		return
	}
	for _, c := range e.claims {
		k.flights[c.flight] = e
	}
	e.late = now + lateTime
	k.lates = append(k.lates, late{entry: e, until: e.late})
}

// endLate ends that.
func (k *Keeper) endLate(e *entry, now time.Duration) {
	if e.late == 0 {
		return
	}
	e.late = 0
	for _, c := range e.claims {
		delete(k.flights, c.flight)
	}
	k.hangUpFor(e, now)
}

// endLates ends what has listened for long enough, and returns when the next
// has.
func (k *Keeper) endLates(now time.Duration) time.Duration {
	for len(k.lates) > 0 {
		l := k.lates[0]
		if l.entry.late == l.until && now < l.until {
			return l.until
		}
		if l.entry.late == l.until {
			k.endLate(l.entry, now)
		}
		k.lates[0] = late{}
		k.lates = k.lates[1:]
	}
	return dhcp4.Never
}

// hearLate answers an ACK to a given-up REQUEST with another RELEASE: the
// server may have granted after the first one. If the client has begun anew,
// the lease is that acquisition's; and if the first RELEASE is still to come,
// it is enough. With the last answer the listening is over.
func (k *Keeper) hearLate(e *entry, reply dhcp4.Reply) {
	i := slices.IndexFunc(e.claims, func(c claim) bool { return c.flight.xid == reply.XID })
	if i < 0 || reply.Type != dhcpv4.MessageTypeAck && reply.Type != dhcpv4.MessageTypeNak {
		return
	}
	now, c := k.cfg.Now(), &e.claims[i]
	c.unanswered--
	if reply.Type == dhcpv4.MessageTypeAck && e.gone && k.clients[e.who] == nil {
		k.giveBackLate(e, c, reply, now)
	}
	if !slices.ContainsFunc(e.claims, func(c claim) bool { return c.unanswered > 0 }) {
		k.endLate(e, now)
	}
}

// giveBackLate sends the RELEASE of what was granted late. What was not known so
// far, the ACK tells.
func (k *Keeper) giveBackLate(e *entry, c *claim, reply dhcp4.Reply, now time.Duration) {
	if !c.known() {
		e.client.Handle(now, reply)
		l, ok := e.client.Lease()
		if !ok {
			return
		}
		c.lease = l
	}
	k.cfg.Log.Info("a server granted late what had been given up", "key", e.key.String(), "address", c.lease.Address.Addr().String())
	e.dues = c.lease
	e.dues.Expiry = now + lateTime
	e.message, e.sent = nil, 0
	if k.leases[e.key] == nil && k.files[e.key] == nil {
		k.saveVoid(e, e.dues, "lease.late", nil)
	}
	e.segment.enter(e, releases)
}
