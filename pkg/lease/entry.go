package lease

import (
	"time"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/wire"
)

// client is what a server knows an entry by.
type client struct {
	id  string
	mac dhcp4.MAC
}

// flight is what a reply is recognised by.
type flight struct {
	xid uint32
	mac dhcp4.MAC
}

// stage is an entry's place in the keeper, beside its client's state.
type stage int

const (
	acquiring stage = iota
	storing         // granted, on its way to the disk
	pending         // stored, not yet confirmed
	held
	lost
	releasing // to be given back; DEL has been answered or will be
)

// entry is one lease, wanted or held.
type entry struct {
	key    leaseapi.Key
	req    leaseapi.Request
	who    client
	client *dhcp4.Client
	stage  stage
	reason string // of a loss
	// lastLease is what was held, for a loss and for giving back.
	lastLease dhcp4.Lease
	former    bool // begin by asking for lastLease again (INIT-REBOOT)

	waiters []*waiter
	began   time.Duration
	giveUp  time.Duration // an acquisition's end
	// confirmBy is when a pending lease is judged (again).
	confirmBy time.Duration
	judging   bool

	segment *segment
	conn    *link // open while an exchange is in flight
	listen  time.Duration
	flight  flight
	slot    bool // has a place in the segment's window
	queued  bool
	seen    int // replies with our MAC

	// Of a release: who waits for it, and that it is on its way.
	released []func()
	release  *wire.Datagram
	releases int // how often it has been sent
	sending  bool
	gone     bool // out of all maps
	index    int  // in the schedule, -1 if not
	at       time.Duration
}

// waiter is one Acquire under way.
type waiter struct {
	done chan outcome // buffered: 1
}

type outcome struct {
	lease leaseapi.Lease
	err   error
}

// answer ends all waits with one outcome.
func (e *entry) answer(o outcome) {
	for _, w := range e.waiters {
		w.done <- o
	}
	e.waiters = nil
}

// terms returns the lease that is, or was, held.
func (e *entry) terms() (dhcp4.Lease, bool) {
	if l, ok := e.client.Lease(); ok {
		return l, true
	}
	return e.lastLease, e.lastLease.Address.IsValid()
}

// deadline is when the entry is due next.
func (e *entry) deadline() time.Duration {
	at := dhcp4.Never
	if !e.queued {
		at = e.client.Deadline()
	}
	switch e.stage {
	case acquiring:
		at = min(at, e.giveUp)
	case pending:
		if !e.judging {
			at = min(at, e.confirmBy)
		}
	case releasing:
		return e.confirmBy
	case storing, held, lost:
	}
	if e.conn != nil {
		at = min(at, e.listen)
	}
	return at
}

// state is the entry's in the contract's words.
func (e *entry) state() leaseapi.State {
	switch e.stage {
	case acquiring, storing:
		return leaseapi.StateAcquiring
	case pending:
		return leaseapi.StatePending
	case lost:
		return leaseapi.StateLost
	case held, releasing:
	}
	switch e.client.State() {
	case dhcp4.Renewing:
		return leaseapi.StateRenewing
	case dhcp4.Rebinding:
		return leaseapi.StateRebinding
	}
	return leaseapi.StateBound
}

// view is the entry for the API.
func (k *Keeper) view(e *entry) leaseapi.Lease {
	v := leaseapi.Lease{
		Key: e.key, State: e.state(), Reason: e.reason, Pod: e.req.Pod,
		MAC: e.req.MAC, ClientID: e.req.ClientID, Transport: e.req.Transport, Uplink: e.req.Uplink, Bridge: e.req.Bridge,
	}
	l, ok := e.terms()
	if !ok {
		return v
	}
	v.Address, v.Server, v.Router, v.DNS, v.Domain, v.Search, v.MTU = l.Address, l.Server, l.Router, l.DNS, l.Domain, l.Search, l.MTU
	for _, r := range l.Routes {
		v.Routes = append(v.Routes, leaseapi.Route{Dst: r.Dst, GW: r.GW})
	}
	wall := func(t time.Duration) time.Time {
		if t == dhcp4.Never {
			return time.Time{}
		}
		return time.Now().Add(t - k.cfg.Now()).Round(time.Second)
	}
	v.AcquiredAt, v.RenewAt, v.RebindAt, v.ExpiresAt = wall(l.Acquired), wall(l.T1), wall(l.T2), wall(l.Expiry)
	return v
}
