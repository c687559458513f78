package lease

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/fault"
	"github.com/podlan/podlan/pkg/wire"
)

// declineAgain is how long a DECLINE that could not be sent waits.
const declineAgain = 30 * time.Second

// lastWord is a DECLINE: nobody answers it, and its client has gone on.
type lastWord struct {
	message wire.Datagram
	addr    netip.Addr
	until   time.Duration // when the server forgets by itself
}

// unsaid is one that could not be sent so far.
type unsaid struct {
	segment *segment
	place   place
	at      time.Duration
}

func (s *segment) decline(p place) { s.queues[declines] = append(s.queues[declines], p) }

// decline tells the server. An acquisition goes on with another address; who
// has the address already loses it.
func (k *Keeper) decline(e *entry, why string, now time.Duration) {
	l, _ := e.client.Lease()
	addr := l.Address.Addr()
	for _, d := range e.client.Decline(now, why).Send {
		e.segment.decline(place{entry: e, last: &lastWord{message: datagram(e, d), addr: addr, until: l.Expiry}})
	}
	e.declined = fmt.Sprintf("%s was declined: %s", addr, why)
	if !e.fresh || e.stage != acquiring && e.stage != storing {
		k.lose(e, why)
		return
	}
	e.client.TakeAny()
	e.stage, e.lastLease, e.onDisk = acquiring, dhcp4.Lease{}, false
	e.tenure++ // what is being stored is void
	k.eraseAll(e, func() { fault.Point("lease.declined") })
}

// sayLast sends a DECLINE, unless its address is the client's again.
func (k *Keeper) sayLast(s *segment, p place, now time.Duration) {
	e := p.entry
	if e.holds() == p.last.addr || now >= p.last.until {
		return
	}
	used := e.conn != nil
	err := k.transmit(e, p.last.message)
	if !used {
		k.hangUpFor(e, now)
	}
	if err != nil {
		k.cfg.Log.Warn("DECLINE could not be sent", "key", e.key.String(), "on", e.domain().String(), "error", err)
		if missing(err) {
			return // there is no way any more
		}
		k.unsaid = append(k.unsaid, unsaid{segment: s, place: p, at: now + declineAgain})
		return
	}
	k.cfg.Observer.Sent(s.domain(), dhcpv4.MessageTypeDecline.String())
}

// sayAgain queues what could not be sent, and returns when the next is due.
func (k *Keeper) sayAgain(now time.Duration) time.Duration {
	for len(k.unsaid) > 0 {
		if u := k.unsaid[0]; now < u.at {
			return u.at
		}
		k.unsaid[0].segment.decline(k.unsaid[0].place)
		k.unsaid = k.unsaid[1:]
	}
	return dhcp4.Never
}
