package lease

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/podlan/podlan/pkg/acd"
	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/wire"
)

const (
	// watchPause lies between two changes of what the kernel lets through: each
	// is a program that it has to check.
	watchPause = 20 * time.Millisecond
	// firstReopen and lastReopen are how long a link is left alone whose ARP
	// cannot be heard; twice as long each time.
	firstReopen = time.Second
	lastReopen  = time.Minute
)

// ear is where a segment's ARP is heard and spoken. It is open while anything
// is watched over.
type ear struct {
	domain   Domain
	cable    *cable
	conn     ARPConn
	watchers map[netip.Addr][]*entry
	closeAt  time.Duration // when one that nobody needs is closed

	stale   bool          // the kernel does not know yet what is watched
	watched time.Duration // when it was told last

	reopen time.Duration // when to try again
	tries  int

	defences []acd.Packet
	// probes and announcements wait for their turn, in this order.
	probes, announcements []saying
}

// saying is a detector whose time has come; void if the entry has another.
type saying struct {
	entry    *entry
	detector *acd.Detector
}

// earOf returns the ear of the entry's domain, which has a link.
func (k *Keeper) earOf(e *entry) *ear {
	r := k.ears[e.domain()]
	if r == nil {
		r = &ear{domain: e.domain(), watchers: map[netip.Addr][]*entry{}}
		k.ears[e.domain()] = r
	}
	r.cable = e.segment.cable
	return r
}

// unwatched forgets that the entry watches over the address.
func (r *ear) unwatched(e *entry, now time.Duration) {
	left := slices.DeleteFunc(r.watchers[e.addr], func(o *entry) bool { return o == e })
	r.watchers[e.addr] = left
	if len(left) == 0 {
		delete(r.watchers, e.addr)
	}
	r.stale, r.closeAt = true, now+linger
}

// openEar opens it, if it is time to try.
func (k *Keeper) openEar(r *ear, now time.Duration) {
	if r.conn != nil || now < r.reopen || k.ending {
		return
	}
	conn, err := k.cfg.Wire.ARP(r.domain.Link, r.domain.VLAN)
	if err != nil {
		k.deaf(r, err, now)
		return
	}
	r.tries = 0
	k.listenTo(r, conn)
}

// listenTo hands what the socket hears to Run.
func (k *Keeper) listenTo(r *ear, conn ARPConn) {
	r.conn, r.stale = conn, true
	go func() {
		for {
			p, err := conn.Receive()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				k.later(func() { k.deafened(r, conn, err) })
				return
			}
			select {
			case k.heard <- heard{ear: r, arp: p}:
			case <-k.done:
				return
			}
		}
	}()
}

// deaf goes on without: an address that cannot be checked is used all the same.
func (k *Keeper) deaf(r *ear, err error, now time.Duration) {
	if r.tries == 0 {
		k.cfg.Log.Warn("conflicts of addresses cannot be seen: no ARP there", "on", r.domain.String(), "error", err)
	}
	k.cfg.Observer.Conflicts("unchecked")
	r.reopen = now + min(lastReopen, firstReopen<<min(r.tries, 8))
	r.tries++
}

// deafened closes a socket that is of no use any more.
func (k *Keeper) deafened(r *ear, conn ARPConn, err error) {
	if r.conn != conn {
		return
	}
	now := k.cfg.Now()
	_ = conn.Close()
	r.conn = nil
	k.deaf(r, err, now)
	for _, entries := range r.watchers {
		for _, e := range slices.Clone(entries) {
			if e.probing {
				e.detector = acd.Hold(e.addr, acd.MAC(e.who.mac), k.rng)
				k.foundFree(e)
				k.set(e)
			}
		}
	}
}

// claims tells the kernel what is to be heard; false if it is not time to.
func (k *Keeper) claims(r *ear, now time.Duration) bool {
	switch {
	case !r.stale || r.conn == nil:
		return true
	case now < r.watched+watchPause:
		return false
	}
	all := make([]wire.Claim, 0, len(r.watchers))
	for addr, entries := range r.watchers {
		for _, e := range entries {
			all = append(all, wire.Claim{Addr: addr, MAC: wire.MAC(e.who.mac)})
		}
	}
	r.stale, r.watched = false, now
	if err := r.conn.Watch(all); err != nil {
		k.deafened(r, r.conn, err)
	}
	return true
}

// anew opens another socket in place of one whose link was removed. The link may
// have been made again: a VLAN's goes with its last Pod and comes with its first.
func (k *Keeper) anew(r *ear, now time.Duration) bool {
	conn, err := k.cfg.Wire.ARP(r.domain.Link, r.domain.VLAN)
	if err != nil {
		return false
	}
	_ = r.conn.Close()
	k.listenTo(r, conn)
	r.watched = now - watchPause // nobody has been asked so far
	k.claims(r, now)
	return r.conn == conn
}

// rest closes an ear that nobody has needed for a while, and returns when to
// look again.
func (r *ear) rest(now time.Duration) time.Duration {
	switch {
	case len(r.watchers) > 0 && r.conn == nil:
		return r.reopen
	case len(r.watchers) > 0 || r.conn == nil:
		return dhcp4.Never
	case now < r.closeAt:
		return r.closeAt
	}
	_ = r.conn.Close()
	r.conn = nil
	return dhcp4.Never
}
