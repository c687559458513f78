package lease

import (
	"context"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/wire"
)

// retryRelease is how long a RELEASE that could not be sent waits.
const retryRelease = 10 * time.Second

// Release gives the key's lease back and returns when the RELEASE is on the
// wire and the lease forgotten on disk. A key that holds none, or no longer, is
// no error. A RELEASE that cannot be sent is tried again until the lease has
// run out; that is no error either.
func (k *Keeper) Release(ctx context.Context, key leaseapi.Key) error {
	done := make(chan struct{})
	err := k.do(func() {
		e := k.leases[key]
		if e == nil {
			close(done)
			return
		}
		e.answer(outcome{err: &leaseapi.Error{Code: leaseapi.CodeTryAgainLater, Msg: "the attachment was deleted meanwhile"}})
		k.giveBack(e, func() { close(done) })
	})
	if err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-k.done:
		return errStopped
	}
}

// GC gives back every lease of the network whose key is not valid.
func (k *Keeper) GC(ctx context.Context, network string, valid []leaseapi.Key) error {
	keep := map[leaseapi.Key]bool{}
	for _, key := range valid {
		keep[key] = true
	}
	var stale []leaseapi.Key
	err := k.do(func() {
		for key := range k.leases {
			if key.Network == network && !keep[key] {
				stale = append(stale, key)
			}
		}
	})
	if err != nil {
		return err
	}
	for _, key := range stale {
		if err := k.Release(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// giveBack ends an entry; done, if not nil, is called when that is over.
func (k *Keeper) giveBack(e *entry, done func()) {
	if done != nil {
		e.released = append(e.released, done)
	}
	if e.stage == releasing {
		return
	}
	k.land(e, k.cfg.Now())
	if l, ok := e.client.Lease(); ok {
		e.lastLease = l
	}
	e.stage, e.confirmBy = releasing, dhcp4.Never
	e.segment.giving = append(e.segment.giving, e)
	k.due.set(e)
}

// giveAgain queues a release whose time to be tried again has come.
func (k *Keeper) giveAgain(e *entry, now time.Duration) {
	if e.lastLease.Address.IsValid() && now >= e.lastLease.Expiry {
		k.finish(e) // it has given itself back
		return
	}
	e.confirmBy = dhcp4.Never
	e.segment.giving = append(e.segment.giving, e)
}

// pumpReleases sends what the segment bears.
func (k *Keeper) pumpReleases(s *segment, now time.Duration) time.Duration {
	for len(s.giving) > 0 {
		e := s.giving[0]
		if e.gone || e.stage != releasing { // taken over meanwhile
			s.giving = s.giving[1:]
			continue
		}
		ok, at := s.releases.take(now)
		if !ok {
			return at
		}
		s.giving = s.giving[1:]
		k.sendRelease(e)
	}
	return dhcp4.Never
}

// sendRelease sends off Run's goroutine: a momentary port takes its time.
func (k *Keeper) sendRelease(e *entry) {
	if e.release == nil {
		out := e.client.Release()
		if len(out.Send) == 0 {
			k.finish(e)
			return
		}
		d := datagram(e, out.Send[0])
		e.release = &d
	}
	e.sending = true
	d := *e.release
	shared := e.segment.conn
	if e.req.Transport == leaseapi.FromUplink && shared != nil {
		k.releaseSent(e, shared.conn.Send(d))
		return
	}
	req, key := e.req, e.key
	go func() {
		err := k.sendOnce(req, key, d)
		k.later(func() { k.releaseSent(e, err) })
	}()
}

// sendOnce finds a way for one message: the uplink, the Pod, or a momentary
// port of the bridge where the Pod is gone.
func (k *Keeper) sendOnce(req leaseapi.Request, key leaseapi.Key, d wire.Datagram) error {
	var conn Conn
	var err error
	if req.Transport == leaseapi.FromUplink {
		conn, err = k.cfg.Wire.Uplink(req.Uplink)
	} else {
		conn, err = k.cfg.Wire.Pod(req.Netns, key.IfName)
		if err != nil && req.Bridge != "" {
			conn, err = k.cfg.Wire.Port(req.Bridge, d.SrcMAC)
			// With the Pod's port gone, a bridge whose MAC is not pinned has
			// another than the one that the ACK came from.
			d.DstMAC = wire.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		}
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
		k.cfg.Log.Warn("RELEASE could not be sent, will be tried again", "key", e.key.String(), "error", err)
		e.confirmBy = k.cfg.Now() + retryRelease
		k.due.set(e)
		k.over(e)
		return
	}
	k.cfg.Observer.Sent(dhcpv4.MessageTypeRelease.String())
	e.releases++
	if e.releases == 1 {
		k.cfg.Observer.Released()
		k.cfg.Log.Info("lease given back", "key", e.key.String(), "address", e.lastLease.Address.String())
		k.forget(e)
	}
	pauses := repeats(e.req.Transport)
	if e.gone || e.releases > len(pauses) || len(e.released) > 0 {
		k.finish(e)
		return
	}
	e.confirmBy = k.cfg.Now() + pauses[e.releases-1]
	k.due.set(e)
}

// repeats are the pauses before a RELEASE is sent once more. Nobody answers it,
// a server that is busy loses it, and the address is then gone for the rest of
// the lease. From a Pod it is sent once: the Pod is about to go.
func repeats(t leaseapi.Transport) []time.Duration {
	if t == leaseapi.FromPod {
		return nil
	}
	return []time.Duration{time.Second, 3 * time.Second}
}

// forget takes the lease off the disk and tells who waited for its release.
func (k *Keeper) forget(e *entry) {
	if k.leases[e.key] == e {
		delete(k.leases, e.key)
	}
	waiting := e.released
	e.released = nil
	if !e.lastLease.Address.IsValid() {
		call(waiting)
		return
	}
	k.erase(e.key, func(error) { call(waiting) })
}

// finish ends the entry.
func (k *Keeper) finish(e *entry) {
	if e.gone {
		return
	}
	e.gone = true
	k.due.remove(e)
	if k.clients[e.who] == e {
		delete(k.clients, e.who)
	}
	if e.releases == 0 {
		k.forget(e)
		return
	}
	k.over(e)
}

// over calls back who waited for the release.
func (k *Keeper) over(e *entry) {
	waiting := e.released
	e.released = nil
	call(waiting)
}

func call(all []func()) {
	for _, f := range all {
		f()
	}
}
