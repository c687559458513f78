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

// flight is what a reply is recognised by. One that came in another VLAN is not
// ours, whatever it says.
type flight struct {
	xid     uint32
	mac     dhcp4.MAC
	segment *segment
}

// stage is an entry's place in the keeper, beside its client's state.
type stage int

const (
	acquiring stage = iota
	storing         // granted, on its way to the disk, or being probed
	pending         // stored, not yet confirmed
	held
	lost
	returning // lost, granted again, being probed
	reserved  // of another boot: kept for its client for a while
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
	// former is what is asked for first (INIT-REBOOT), until it is granted or
	// refused.
	former dhcp4.Lease
	// tenure counts Acquires: a verdict or a write about a former one is void.
	tenure int
	files  []leaseapi.Key // under which a file may lie; its own is the last
	mark   mark           // what its file says is asked for

	waiters []*waiter
	began   time.Duration
	giveUp  time.Duration // an acquisition's end
	fresh   bool          // no Acquire has been answered with this lease so far

	// unsure: whether its ADD finished is not known. confirmBy is when Confirm
	// is asked (again), or what is reserved given back; judging: it is being
	// asked.
	unsure    bool
	confirmBy time.Duration
	judging   bool

	wayOut
	giving
	watching
	counted
	gone  bool // out of all maps; its RELEASE may be sent again
	index int  // in the schedule, -1 if not
	at    time.Duration
}

// wayOut is an entry's place on its segment.
type wayOut struct {
	segment *segment
	queued  bool
	ticket  int // of its place in the queue
	slot    bool
	slotEnd time.Duration // until when a silent exchange counts as in flight

	conn   *link // open while an answer is listened for,
	listen time.Duration
	flight flight
	out    *dhcp4.Datagram // what goes out when its turn comes, if not what the client says then
	again  time.Duration   // when what could not be sent is tried again; 0: it was sent
	fails  int             // how often it could not, in a row
	seen   int             // replies to our transactions
	claims []claim
	server dhcp4.MAC // of the last OFFER
}

// giving is about an entry that is to be given back.
type giving struct {
	dues     dhcp4.Lease // what the server has to know of; no address: nothing
	owed     bool        // DEL may have been answered: the file says so
	released []func(error)
	message  *wire.Datagram // the RELEASE, once it has been made
	sending  bool
	sent     int           // how often it has been sent
	retry    time.Duration // when it is to be sent (again)
	tries    int
	late     time.Duration // until when a late ACK is listened for
}

// waiter is one Acquire under way.
type waiter struct {
	done chan outcome // buffered: 1
	gone bool
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

// terms returns the lease that is, or was, held. One that returns is not told of
// before it is back.
func (e *entry) terms() (dhcp4.Lease, bool) {
	if l, ok := e.client.Lease(); ok && e.stage != lost && e.stage != returning && e.stage != releasing {
		return l, true
	}
	return e.lastLease, e.lastLease.Address.IsValid()
}

// expired: the client holds a lease that is over.
func (e *entry) expired(now time.Duration) bool {
	l, ok := e.client.Lease()
	return ok && now >= l.Expiry
}

// muted: what was lost is not asked for on behalf of a Pod that may not exist.
func (e *entry) muted() bool { return e.stage == lost && e.unsure }

// awaited: an Acquire waits for the server, or for a verdict on the address.
func (e *entry) awaited() bool { return e.stage == acquiring || e.stage == storing && e.onDisk }

// resends: a message that could not be sent waits to be tried again.
func (e *entry) resends() bool { return e.again != 0 && e.out != nil && !e.queued && !e.muted() }

// judgeable: Confirm has to be asked some time.
func (e *entry) judgeable() bool {
	return e.unsure && !e.judging && (e.stage == pending || e.stage == lost)
}

// deadline is when the entry is due next.
func (e *entry) deadline() time.Duration {
	switch e.stage {
	case releasing:
		return e.retry
	case reserved:
		return e.confirmBy
	default:
	}
	at := dhcp4.Never
	if !e.queued && !e.muted() {
		at = e.client.Deadline()
	}
	if l, ok := e.client.Lease(); ok && !e.muted() {
		at = min(at, l.Expiry) // however long the queue is
	}
	if e.awaited() {
		at = min(at, e.giveUp)
	}
	if e.detector != nil && e.said != e.detector {
		at = min(at, e.detector.Deadline())
	}
	if e.resends() {
		at = min(at, e.again)
	}
	if e.judgeable() {
		at = min(at, e.confirmBy)
	}
	if e.slot {
		at = min(at, e.slotEnd)
	}
	if e.conn != nil {
		at = min(at, e.listen)
	}
	return at
}
