package lease

import (
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/wire"
)

// listenTime is how long an answer to a renewal is waited for with an open
// socket.
const listenTime = 10 * time.Second

// wake does what an entry is due for.
func (k *Keeper) wake(e *entry, now time.Duration) {
	switch {
	case e.gone:
		return
	case e.stage == releasing:
		k.giveAgain(e, now)
	case e.stage == acquiring && now >= e.giveUp:
		k.fail(e, k.noAnswer(e, now))
		return
	case e.stage == pending && !e.judging && now >= e.confirmBy:
		k.judge(e)
	}
	if e.conn != nil && now >= e.listen {
		k.land(e, now)
	}
	if !e.queued && e.stage != releasing && e.client.Deadline() <= now {
		k.ask(e, now)
	}
	k.due.set(e)
}

// ask has the client go on: at once if the lease is over, else when the segment
// has room.
func (k *Keeper) ask(e *entry, now time.Duration) {
	if e.slot {
		e.segment.unanswered()
		k.free(e)
	}
	if l, ok := e.client.Lease(); ok && now >= l.Expiry {
		k.apply(e, e.client.Tick(now), now)
		return
	}
	lane := adds
	switch e.stage {
	case pending, held:
		lane = renewals
	case lost:
		lane = background
	case acquiring, storing, releasing:
	}
	e.segment.enter(e, lane)
}

// pump lets go what the segment bears and returns when it bears more.
func (k *Keeper) pump(s *segment, now time.Duration) time.Duration {
	next := k.pumpReleases(s, now)
	for e := s.head(); e != nil && s.room(); e = s.head() {
		ok, at := s.packets.take(now)
		if !ok {
			return min(next, at)
		}
		s.leave(e)
		e.slot = true
		s.flying++
		k.apply(e, k.advance(e, now), now)
	}
	return min(next, k.closeIdle(s, now))
}

// advance has the client begin, or go on.
func (k *Keeper) advance(e *entry, now time.Duration) dhcp4.Output {
	switch {
	case e.client.Deadline() != dhcp4.Never || e.client.Waiting():
		return e.client.Tick(now)
	case e.former:
		e.former = false
		return e.client.Reboot(now, e.lastLease)
	}
	return e.client.Start(now)
}

// apply carries out what the client wants.
func (k *Keeper) apply(e *entry, out dhcp4.Output, now time.Duration) {
	switch out.Change {
	case dhcp4.Granted:
		k.granted(e, now)
	case dhcp4.Extended:
		e.lastLease, _ = e.client.Lease()
		k.cfg.Observer.Extended()
		k.save(e, nil)
	case dhcp4.Lost:
		k.lose(e, out.Reason)
	case dhcp4.Unchanged:
	}
	for _, d := range out.Send {
		if err := k.send(e, d, now); err != nil && k.hopeless(e, err) {
			return
		}
	}
	if !e.client.Waiting() {
		k.land(e, now)
	}
	if !e.gone {
		k.due.set(e)
	}
}

// send puts a message onto the wire and listens for its answer.
func (k *Keeper) send(e *entry, d dhcp4.Datagram, now time.Duration) error {
	if err := k.open(e); err != nil {
		return err
	}
	e.listen = now + listenTime
	if e.stage == acquiring {
		e.listen = e.giveUp // a server may take its time to look for conflicts
	}
	delete(k.flights, e.flight)
	e.flight = flight{xid: e.client.XID(), mac: e.who.mac}
	k.flights[e.flight] = e
	k.cfg.Observer.Sent(d.Type.String())
	k.cfg.Log.Debug("sent", "type", d.Type.String(), "key", e.key.String(), "mac", e.req.MAC, "to", d.Dst.String())
	return e.conn.conn.Send(datagram(e, d))
}

func datagram(e *entry, d dhcp4.Datagram) wire.Datagram {
	dst := wire.MAC(d.DstMAC)
	if dst == (wire.MAC{}) { // of an unknown server: all will see it
		dst = wire.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	}
	return wire.Datagram{SrcMAC: wire.MAC(e.who.mac), DstMAC: dst, Src: d.Src, Dst: d.Dst, Payload: d.Payload}
}

// hear finds out whom a message is for.
func (k *Keeper) hear(h heard) {
	reply, err := dhcp4.Decode(h.message.Payload)
	if err != nil {
		k.cfg.Observer.Malformed()
		return
	}
	reply.From = dhcp4.MAC(h.message.From)
	k.cfg.Observer.Received(reply.Type.String())
	e := k.flights[flight{xid: reply.XID, mac: reply.Client}]
	if e == nil || e.gone {
		return
	}
	e.seen++
	k.cfg.Log.Debug("received", "type", reply.Type.String(), "key", e.key.String(), "mac", e.req.MAC)
	now := k.cfg.Now()
	waiting := e.client.State()
	out := e.client.Handle(now, reply)
	if e.slot && e.client.State() != waiting {
		if reply.Type == dhcpv4.MessageTypeNak {
			e.segment.unanswered()
		} else {
			e.segment.answered()
		}
	}
	k.apply(e, out, now)
}

// land ends an exchange: the place in the window and the socket are free.
func (k *Keeper) land(e *entry, now time.Duration) {
	k.free(e)
	delete(k.flights, e.flight)
	k.hangUpFor(e, now)
}

func (k *Keeper) free(e *entry) {
	if e.slot {
		e.slot = false
		e.segment.flying--
	}
}

// hopeless ends an acquisition whose way is not there at all; a renewal waits
// for better times.
func (k *Keeper) hopeless(e *entry, err error) bool {
	k.cfg.Log.Warn("cannot send", "key", e.key.String(), "error", err)
	if e.stage != acquiring || !missing(err) {
		return false
	}
	k.fail(e, &leaseapi.Error{
		Code: leaseapi.CodeTryAgainLater, Msg: "DHCP cannot be spoken: " + err.Error(),
		Details: "is the key `uplink`, or the Pod's interface, right, and does it exist?",
	})
	return true
}
