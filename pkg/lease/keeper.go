// Package lease keeps the leases of a node: it drives a DHCP client for each,
// stores them, paces what goes onto the wire and tells what changed. It touches
// the segments through wire, its own folder, and no Pod.
package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/podlan/podlan/pkg/boottime"
	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/statefile"
	"github.com/podlan/podlan/pkg/wire"
)

// Wire opens the ways to a DHCP server. wire's own functions are the real one.
type Wire interface {
	// Uplink listens and speaks on the node's uplink.
	Uplink(name string) (Conn, error)
	// Pod does so from within a Pod's namespace.
	Pod(netns, ifName string) (Conn, error)
	// Port does so from a momentary port of a bridge, for a release where
	// neither of the others is left.
	Port(bridge string, mac wire.MAC) (Conn, error)
	// State tells whether the link exists and has carrier.
	State(name string) (present, carrier bool)
}

// Conn is an open way. Receive blocks until there is a message or Close.
type Conn interface {
	Receive() (wire.Message, error)
	Send(d wire.Datagram) error
	Close() error
}

// Verdict is what can be said of a pending lease.
type Verdict int

// The verdicts.
const (
	// Wait: not to be told yet, or at all; ask again.
	Wait Verdict = iota
	// Confirmed: the ADD has finished, the lease is in use.
	Confirmed
	// Refuted: the ADD died, or what it made is gone.
	Refuted
)

// Held is what Confirm is asked about.
type Held struct {
	Key     leaseapi.Key
	Request leaseapi.Request
	Lease   dhcp4.Lease
}

// Config is what a keeper works with. Dir and Wire are required.
type Config struct {
	// Dir is the folder of the leases, the keeper's own.
	Dir  string
	Wire Wire
	// Confirm judges pending leases. It may be slow; it is called off the
	// keeper's own goroutine, several at once. Nil confirms all.
	Confirm func(Held) Verdict
	// Changed is told of each lease that was lost or came back, in order.
	Changed  func(leaseapi.Lease)
	Observer Observer
	Log      *slog.Logger
	// Now is the time since boot, BootID the boot. Default: the kernel's.
	Now    func() time.Duration
	BootID string
}

// ErrInUse says that another keeper has the folder.
var ErrInUse = errors.New("another podland keeps leases there")

// Keeper keeps leases. Its methods are safe for concurrent use once Run runs.
type Keeper struct {
	cfg   Config
	dir   statefile.Dir
	lock  *statefile.Lock
	rng   *rand.Rand
	store *writers

	calls chan func()
	heard chan heard
	done  chan struct{} // closed when Run has ended

	// All below belongs to Run's goroutine.
	leases   map[leaseapi.Key]*entry
	clients  map[client]*entry
	flights  map[flight]*entry
	due      schedule
	segments map[string]*segment
}

// New loads the leases of the folder and takes them up without a packet.
func New(cfg Config) (*Keeper, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	dir, err := statefile.Open(cfg.Dir)
	if err != nil {
		return nil, err
	}
	lock, err := statefile.TryAcquire(cfg.Dir, "lock")
	if errors.Is(err, statefile.ErrLocked) {
		return nil, fmt.Errorf("%s: %w", cfg.Dir, ErrInUse)
	}
	if err != nil {
		return nil, err
	}
	k := &Keeper{
		cfg: cfg, dir: dir, lock: lock,
		rng:      rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), //nolint:gosec // transaction IDs, no secrets
		calls:    make(chan func()),
		heard:    make(chan heard, 64),
		done:     make(chan struct{}),
		leases:   map[leaseapi.Key]*entry{},
		clients:  map[client]*entry{},
		flights:  map[flight]*entry{},
		segments: map[string]*segment{},
	}
	k.store = newWriters()
	if err := k.load(); err != nil {
		lock.Release()
		return nil, err
	}
	return k, nil
}

func (c *Config) complete() error {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	if c.Confirm == nil {
		c.Confirm = func(Held) Verdict { return Confirmed }
	}
	if c.Changed == nil {
		c.Changed = func(leaseapi.Lease) {}
	}
	if c.Now == nil {
		c.Now = boottime.Now
	}
	if c.BootID != "" {
		return nil
	}
	var err error
	c.BootID, err = boottime.BootID()
	return err
}

// longestSleep bounds how late a suspend of the machine is noticed: timers of
// the runtime stand still meanwhile, the boot-time clock does not.
const longestSleep = 30 * time.Second

// Run keeps the leases until ctx ends. It gives nothing back.
func (k *Keeper) Run(ctx context.Context) error {
	defer k.lock.Release()
	defer close(k.done)
	defer k.store.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			k.hangUp()
			return nil
		case call := <-k.calls:
			call()
		case h := <-k.heard:
			k.hear(h)
		case <-timer.C:
		}
		timer.Reset(k.turn())
	}
}

// turn does what is due and returns how long nothing will be.
func (k *Keeper) turn() time.Duration {
	now := k.cfg.Now()
	for {
		e := k.due.pop(now)
		if e == nil {
			break
		}
		k.wake(e, now)
	}
	next := now + longestSleep
	for _, s := range k.segments {
		next = min(next, k.pump(s, now))
	}
	if at, ok := k.due.first(); ok {
		next = min(next, at)
	}
	return max(0, next-k.cfg.Now())
}

// errStopped answers calls after Run's end.
var errStopped = &leaseapi.Error{Code: leaseapi.CodeTryAgainLater, Msg: "podland is shutting down"}

// do runs f on Run's goroutine and waits for it.
func (k *Keeper) do(f func()) error {
	ended := make(chan struct{})
	select {
	case k.calls <- func() { f(); close(ended) }:
		<-ended
		return nil
	case <-k.done:
		return errStopped
	}
}

// later runs f on Run's goroutine, from another, some time.
func (k *Keeper) later(f func()) {
	select {
	case k.calls <- f:
	case <-k.done:
	}
}
