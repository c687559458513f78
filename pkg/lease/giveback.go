package lease

import (
	"errors"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/fault"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/wire"
)

// firstRetry and lastRetry are how long a RELEASE that could not be sent waits;
// it waits twice as long each time.
const (
	firstRetry = 10 * time.Second
	lastRetry  = 80 * time.Second
)

// giveBack ends an entry; done, if not nil, is called when the RELEASE has been
// sent and the lease forgotten, or with an error when it could not be sent for
// now. The client stays as it is, for somebody may take the lease over.
func (k *Keeper) giveBack(e *entry, done func(error)) {
	if done != nil {
		e.released = append(e.released, done)
	}
	if e.stage == releasing {
		return
	}
	e.answer(outcome{err: &leaseapi.Error{Code: leaseapi.CodeTryAgainLater, Msg: "the attachment's lease is given back meanwhile"}})
	now := k.cfg.Now()
	k.land(e, now)
	e.segment.leave(e)
	e.out = nil
	e.dues = e.owes(now)
	if l, ok := e.client.Lease(); ok && e.stage != lost {
		e.lastLease = l
	}
	e.stage, e.retry, e.tries, e.message = releasing, dhcp4.Never, 0, nil
	k.listenLate(e, now)
	e.segment.enter(e, releases)
	k.set(e)
}

// owes returns what the server holds for the client, or may hold: the lease, or
// what it has asked for without an answer so far.
func (e *entry) owes(now time.Duration) dhcp4.Lease {
	if l, ok := e.client.Lease(); ok && e.stage != lost {
		return l
	}
	for _, c := range slices.Backward(e.claims) {
		if l := c.lease; c.known() {
			l.Expiry = now + lateTime
			return l
		}
	}
	return e.former // of before a reboot; nothing else
}

// giveAgain queues a release whose time to be tried, or repeated, has come.
func (k *Keeper) giveAgain(e *entry) {
	e.retry = dhcp4.Never
	if e.gone {
		e.segment.enter(e, repeats)
		return
	}
	e.segment.enter(e, releases)
	k.set(e)
}

// sendRelease sends what is due: on an uplink at once, else off Run's
// goroutine, since a momentary port takes its time.
func (k *Keeper) sendRelease(e *entry, now time.Duration) {
	if e.gone && k.clients[e.who] != nil {
		k.eraseAll(e, nil)
		return // a repeat would end the new lease
	}
	if !e.release(k, now) {
		k.finish(e, false) // nothing is due, or it has given itself back
		return
	}
	d := *e.message
	fault.Point("lease.release.before")
	e.sending = true
	if e.req.Transport == leaseapi.FromUplink {
		k.releaseSent(e, k.sendFrom(e, d))
		return
	}
	req, key := e.req, e.key
	k.releases.Add(1)
	go func() {
		err := error(errStopped)
		k.offRun(func() { err = k.sendOnce(req, key, d) })
		k.later(func() {
			defer k.releases.Done()
			k.releaseSent(e, err)
		})
	}()
}

// release makes the message, once; false if there is none to be sent.
func (e *entry) release(k *Keeper, now time.Duration) bool {
	if now >= e.dues.Expiry {
		return false
	}
	if e.message == nil {
		out := dhcp4.Adopt(k.params(e), k.rng, e.dues).Release()
		if len(out.Send) == 0 {
			return false
		}
		d := datagram(e, out.Send[0])
		e.message = &d
	}
	return true
}

// sendFrom sends from the segment's socket, which may be open already.
func (k *Keeper) sendFrom(e *entry, d wire.Datagram) error {
	err := k.transmit(e, d)
	if e.late == 0 {
		k.hangUpFor(e, k.cfg.Now())
	}
	return err
}

// sendOnce finds a way for one message: the Pod, or a momentary port of the
// bridge where the Pod is gone.
func (k *Keeper) sendOnce(req leaseapi.Request, key leaseapi.Key, d wire.Datagram) error {
	conn, err := k.cfg.Wire.Pod(req.Netns, key.IfName)
	if err != nil && req.Bridge != "" {
		var portErr error
		conn, portErr = k.cfg.Wire.Port(req.Bridge, req.VLAN, d.SrcMAC)
		if portErr != nil {
			return errors.Join(err, portErr)
		}
		err = nil
		// With the Pod's port gone, a bridge whose MAC is not pinned has
		// another than the one that the ACK came from.
		d.DstMAC = wire.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	}
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return conn.Send(d)
}

func (k *Keeper) releaseSent(e *entry, err error) {
	e.sending = false
	if err != nil {
		if !e.gone || !missing(err) { // else the segment has gone with its last Pod
			k.cfg.Log.Warn("RELEASE could not be sent", "key", e.key.String(), "on", e.domain().String(), "error", err)
		}
		if e.gone {
			k.eraseAll(e, nil)
		} else {
			k.releaseFailed(e, err)
		}
		return
	}
	fault.Point("lease.release.sent")
	k.cfg.Observer.Sent(e.segment.domain(), dhcpv4.MessageTypeRelease.String())
	pauses := pauses(e.req.Transport)
	again := e.sent < len(pauses)
	if !e.gone {
		k.cfg.Observer.Released()
		k.cfg.Log.Info("lease given back", "key", e.key.String(), "on", e.domain().String(), "address", e.dues.Address.Addr().String())
	}
	k.finish(e, again)
	if again {
		e.retry = k.cfg.Now() + pauses[e.sent]
		e.sent++
		k.set(e)
	}
}

// pauses are those before a RELEASE is sent once more. Nobody answers it, a
// server that is busy loses it, and the address is then gone for the rest of
// the lease. From a Pod it is sent once: the Pod is about to go.
func pauses(t leaseapi.Transport) []time.Duration {
	if t == leaseapi.FromPod {
		return nil
	}
	return []time.Duration{time.Second, 3 * time.Second}
}

// releaseFailed has it tried again, by the next podland too.
func (k *Keeper) releaseFailed(e *entry, err error) {
	e.retry = min(e.dues.Expiry, k.cfg.Now()+min(lastRetry, firstRetry<<min(e.tries, 8)))
	e.tries++
	k.set(e)
	if e.owed || len(e.files) == 0 || e.reason != "" || !e.lastLease.Address.IsValid() { // the file says enough
		k.over(e, err)
		return
	}
	e.owed = true
	k.save(e, func(error) { k.over(e, err) })
}

// finish forgets the entry and tells who waited. Its file goes too, if the
// RELEASE is not to be sent again: until then it is the next podland's to do.
func (k *Keeper) finish(e *entry, again bool) {
	k.due.remove(e)
	if e.gone { // the RELEASE was one more
		if !again {
			k.eraseAll(e, nil)
		}
		return
	}
	e.gone = true
	if k.leases[e.key] == e {
		delete(k.leases, e.key)
	}
	if k.clients[e.who] == e {
		delete(k.clients, e.who)
	}
	k.follow(e)
	k.formers = append(k.formers, former{entry: e, until: k.cfg.Now() + formerTime})
	if again {
		k.saveVoid(e, e.dues, "lease.release.noted", func() { k.over(e, nil) })
		k.eraseFormer(e)
		return
	}
	k.eraseAll(e, func() { k.over(e, nil) })
}

// over calls back who waited for the release.
func (k *Keeper) over(e *entry, err error) {
	waiting := e.released
	e.released = nil
	for _, done := range waiting {
		done(err)
	}
}
