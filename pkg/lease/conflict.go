package lease

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/podlan/podlan/pkg/acd"
	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// watching is about another's use of the entry's address (RFC 5227).
type watching struct {
	ear      *ear // nil: nothing is watched over
	addr     netip.Addr
	detector *acd.Detector
	said     *acd.Detector // that waits for its turn
	probing  bool          // there is no verdict yet
	taken    string        // by whom, of an address that is not granted yet
	declined string        // the last of this acquisition, and why
	onDisk   bool          // stored: only the verdict is waited for
	announce bool          // once it is confirmed
	home     home          // where it is known to be held
}

// home is an address in a domain.
type home struct {
	domain Domain
	addr   netip.Addr
}

// set brings what depends on the entry's state in step with it. Whatever
// changes an entry ends with it.
func (k *Keeper) set(e *entry) {
	k.follow(e)
	k.due.set(e)
}

// follow has that address watched over that is asked for or held.
func (k *Keeper) follow(e *entry) {
	k.settleAt(e, home{domain: e.domain(), addr: e.holds()})
	addr := e.watched()
	if e.ear != nil && (e.addr != addr || e.ear.domain != e.domain()) {
		k.unwatch(e)
	}
	if e.ear == nil && addr.IsValid() && e.domain().Link != "" {
		k.watch(e, addr)
	}
}

// settleAt notes which of our entries has an address.
func (k *Keeper) settleAt(e *entry, h home) {
	if h.domain.Link == "" || !h.addr.IsValid() {
		h = home{}
	}
	if e.home == h {
		return
	}
	if k.homes[e.home] == e {
		delete(k.homes, e.home)
	}
	if e.home = h; h != (home{}) {
		k.homes[h] = e
	}
}

// holds returns the leased address that nobody else may have. What is reserved
// only, the server may give away.
func (e *entry) holds() netip.Addr {
	l, ok := e.client.Lease()
	if !ok || e.gone || e.stage == releasing || e.stage == reserved || e.stage == lost {
		return netip.Addr{}
	}
	return l.Address.Addr()
}

// watched returns the address to be watched over, if there is one.
func (e *entry) watched() netip.Addr {
	if e.req.Conflict == leaseapi.ConflictOff || e.gone || e.muted() || e.stage == releasing {
		return netip.Addr{}
	}
	if _, ok := e.client.Lease(); ok {
		return e.holds()
	}
	l, ok := e.client.Offered()
	if !ok || e.req.Conflict == leaseapi.ConflictWait && e.stage != lost {
		return netip.Addr{}
	}
	return l.Address.Addr()
}

func (k *Keeper) watch(e *entry, addr netip.Addr) {
	now, r := k.cfg.Now(), k.earOf(e)
	e.ear, e.addr = r, addr
	r.watchers[addr] = append(r.watchers[addr], e)
	r.stale = true
	e.detector = acd.Hold(addr, acd.MAC(e.who.mac), k.rng)
	if !e.fresh && e.stage != lost && e.stage != returning {
		return // it is in use
	}
	if k.openEar(r, now); r.conn == nil {
		return
	}
	timing := acd.Fast()
	if e.waits() {
		timing = acd.RFC()
	}
	e.probing, e.detector = true, acd.Probe(addr, acd.MAC(e.who.mac), timing, k.rng, now)
}

// waits: nobody is told of the address before it has been probed.
func (e *entry) waits() bool { return e.req.Conflict == leaseapi.ConflictWait && e.fresh }

func (k *Keeper) unwatch(e *entry) {
	e.ear.unwatched(e, k.cfg.Now())
	e.ear, e.addr, e.detector, e.said, e.probing, e.taken = nil, netip.Addr{}, nil, nil, false, ""
}

// tell has the address announced (RFC 5227 §2.3).
func (k *Keeper) tell(e *entry, now time.Duration) {
	e.announce = false
	if e.detector != nil {
		e.detector.Announce(now)
	}
}

// foundFree goes on with what waited for the verdict.
func (k *Keeper) foundFree(e *entry) {
	e.probing = false
	switch {
	case e.stage == storing && e.onDisk:
		k.kept(e, nil)
	case e.stage == returning:
		k.back(e)
	}
}

// conflict: somebody else has the address. What the server has not granted yet
// cannot be declined before.
func (k *Keeper) conflict(e *entry, by acd.MAC, now time.Duration) {
	why := fmt.Sprintf("in use by %s (ARP conflict, RFC 5227)", dhcp4.MAC(by))
	k.cfg.Log.Warn("somebody else has the address", "key", e.key.String(), "address", e.addr.String(), "on", e.domain().String(), "mac", dhcp4.MAC(by).String())
	k.cfg.Observer.Conflicts("conflict")
	e.probing = false
	if _, ok := e.client.Lease(); !ok {
		e.taken = why
		return
	}
	k.decline(e, why, now)
	k.settle(e, now)
}

// acceptable refuses what the node itself has, and what another of ours has in
// the same domain: either it lost the address without knowing, or the server
// forgot that it has it. Who renews first, gets it.
func (k *Keeper) acceptable(e *entry, addr netip.Addr) error {
	if k.cfg.Borne(addr) {
		return fmt.Errorf("%s is an address of this node itself", addr)
	}
	other := k.homes[home{domain: e.domain(), addr: addr}]
	if other == nil || other == e {
		return nil
	}
	k.cfg.Log.Warn("the server offers what another of our Pods has", "key", e.key.String(), "on", e.domain().String(), "address", addr.String(), "holder", other.key.String())
	other.client.Verify(k.cfg.Now())
	k.set(other)
	return fmt.Errorf("%s is leased to %s on this node (%s)", addr, other.key, other.req.MAC)
}
