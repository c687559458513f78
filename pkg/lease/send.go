package lease

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/wire"
)

const (
	// listenTime is how long an answer to a renewal, or about a lost lease, is
	// waited for with an open socket.
	listenTime = 10 * time.Second
	// silence is how long an unanswered message counts as in flight: as long as
	// RFC 2131 §4.1 has a client wait before it sends again.
	silence = 4 * time.Second
	// firstResend and lastResend are how long a message waits that could not be
	// sent, where the client does not ask anew before; twice as long each time.
	firstResend = time.Second
	lastResend  = 30 * time.Second
)

// put sends a message within the entry's exchange. An acquisition whose way is
// not there at all ends; all else waits for better times.
func (k *Keeper) put(e *entry, d dhcp4.Datagram, now time.Duration) {
	err := k.send(e, d, now)
	if err == nil {
		return
	}
	level := slog.LevelDebug
	if e.fails == 0 {
		level = slog.LevelWarn
	}
	k.cfg.Log.Log(context.Background(), level, "cannot send", "key", e.key.String(), "on", e.segment.domain().String(), "error", err)
	if e.stage != acquiring || !missing(err) {
		e.free()
		e.out, e.again = &d, now+min(lastResend, firstResend<<min(e.fails, 8))
		e.fails++
		return
	}
	k.fail(e, &leaseapi.Error{
		Code: leaseapi.CodeTryAgainLater, Msg: "DHCP cannot be spoken: " + err.Error(),
		Details: "is the key `uplink`, or the Pod's interface, right, and does it exist?",
	})
}

// missing tells that the way does not exist, from one that is down.
func missing(err error) bool {
	return errors.Is(err, wire.ErrNoLink) || errors.Is(err, fs.ErrNotExist)
}

// send puts a message onto the wire and listens for its answer.
func (k *Keeper) send(e *entry, d dhcp4.Datagram, now time.Duration) error {
	if err := k.transmit(e, datagram(e, d)); err != nil {
		return err
	}
	e.again, e.fails = 0, 0
	delete(k.flights, e.flight)
	e.flight = flight{xid: e.client.XID(), mac: e.who.mac, segment: e.segment}
	k.flights[e.flight] = e
	e.slotEnd = now + silence
	e.listen = min(max(e.client.ListenUntil(), now+silence), now+listenTime) // it may go out late
	if e.stage == acquiring {
		e.listen = e.giveUp // a server may take its time to look for conflicts
	}
	e.claim(d)
	k.cfg.Observer.Sent(e.segment.domain(), d.Type.String())
	k.cfg.Log.Debug("sent", "type", d.Type.String(), "key", e.key.String(), "mac", e.req.MAC, "to", d.Dst.String())
	return nil
}

// transmit sends from the entry's socket. One that is open already may be of a
// device that was removed and made anew.
func (k *Keeper) transmit(e *entry, d wire.Datagram) error {
	used := e.conn != nil && !e.conn.dead || e.segment.conn != nil
	if err := k.open(e); err != nil {
		return err
	}
	err := e.conn.conn.Send(d)
	if err == nil || !missing(err) {
		return err
	}
	k.broken(e.conn)
	if !used {
		return err
	}
	return k.transmit(e, d)
}

func datagram(e *entry, d dhcp4.Datagram) wire.Datagram {
	return wire.Datagram{SrcMAC: wire.MAC(e.who.mac), DstMAC: wire.MAC(d.DstMAC), Src: d.Src, Dst: d.Dst, Payload: d.Payload}
}

// hear finds out whom a message is for.
func (k *Keeper) hear(h heard) {
	if h.ear != nil {
		k.hearARP(h.ear, h.arp)
		return
	}
	reply, err := dhcp4.Decode(h.message.Payload)
	if err != nil {
		k.cfg.Observer.Malformed()
		return
	}
	reply.From = dhcp4.MAC(h.message.From)
	k.cfg.Observer.Received(h.segment.domain(), reply.Type.String())
	e := k.flights[flight{xid: reply.XID, mac: reply.Client, segment: h.segment}]
	if e == nil {
		return
	}
	k.cfg.Log.Debug("received", "type", reply.Type.String(), "key", e.key.String(), "mac", e.req.MAC)
	if e.stage == releasing {
		k.hearLate(e, reply)
		return
	}
	k.handle(e, reply, k.cfg.Now())
}

func (k *Keeper) handle(e *entry, reply dhcp4.Reply, now time.Duration) {
	e.seen++
	if reply.Type == dhcpv4.MessageTypeOffer {
		e.server = reply.From
	}
	before := e.client.State()
	out := e.client.Handle(now, reply)
	switch {
	case e.client.State() == before: // it was of no use
	case reply.Type == dhcpv4.MessageTypeNak:
		e.unclaim(reply.XID)
		e.former = dhcp4.Lease{}
		e.segment.unanswered()
	case e.slot:
		e.segment.answered()
	}
	k.apply(e, out, now)
}

// land ends an exchange: the place in the window and the socket are free.
func (k *Keeper) land(e *entry, now time.Duration) {
	e.free()
	delete(k.flights, e.flight)
	k.hangUpFor(e, now)
}

// free gives back the entry's place in the window.
func (e *entry) free() {
	if e.slot {
		e.slot = false
		e.segment.flying--
	}
}
