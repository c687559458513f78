// Package lease keeps the leases of a node: it drives a DHCP client for each,
// stores them, paces what goes onto the wire and tells what changed. It touches
// the segments through wire, its own folder, and no Pod.
package lease

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/statefile"
)

// Keeper keeps leases. Its methods are safe for concurrent use once Run runs.
type Keeper struct {
	cfg      Config
	dir      statefile.Dir
	volatile statefile.Dir // the same folder, without flushes
	journal  *journal
	lock     *statefile.Lock
	rng      *rand.Rand
	store    *writers

	calls    chan func()
	heard    chan heard
	stopping chan struct{} // closed when Run takes up nothing new
	done     chan struct{} // closed when Run has ended
	aside    chan struct{} // bounds what is done off Run's goroutine at once
	releases sync.WaitGroup

	// All below belongs to Run's goroutine.
	leases   map[leaseapi.Key]*entry
	clients  map[client]*entry
	flights  map[flight]*entry
	due      schedule
	segments map[way]*segment
	cables   map[string]*cable // by NIC
	ears     map[Domain]*ear
	homes    map[home]*entry
	files    map[leaseapi.Key]*entry // who wrote the key's file last
	macs     map[station]int         // ours, and those of a moment ago
	lates    []late
	formers  []former
	unsaid   []unsaid
	unerased []unerased
	ending   bool
}

// maxAside bounds questions to Confirm and momentary ports at once: each may
// take a thread, and the kernel's lock on links.
const maxAside = 8

// New loads the leases of the folder and takes them up without a packet.
// ErrInUse if another keeper has it.
func New(cfg Config) (*Keeper, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	dir, err := statefile.Open(cfg.Dir)
	if err != nil {
		return nil, err
	}
	volatile, err := statefile.OpenVolatile(cfg.Dir)
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
	k := newKeeper(cfg)
	k.dir, k.volatile, k.lock = dir, volatile, lock
	k.journal = &journal{} // until load has opened it
	if err := k.load(); err != nil {
		lock.Release()
		return nil, err
	}
	return k, nil
}

// newKeeper returns one that keeps nothing so far.
func newKeeper(cfg Config) *Keeper {
	return &Keeper{
		cfg:      cfg,
		rng:      rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), //nolint:gosec // transaction IDs, no secrets
		store:    newWriters(),
		calls:    make(chan func()),
		heard:    make(chan heard, 64),
		stopping: make(chan struct{}),
		done:     make(chan struct{}),
		aside:    make(chan struct{}, maxAside),
		leases:   map[leaseapi.Key]*entry{},
		clients:  map[client]*entry{},
		flights:  map[flight]*entry{},
		segments: map[way]*segment{},
		cables:   map[string]*cable{},
		ears:     map[Domain]*ear{},
		homes:    map[home]*entry{},
		files:    map[leaseapi.Key]*entry{},
		macs:     map[station]int{},
	}
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
	case <-k.stopping:
		return errStopped
	}
}

// later runs f on Run's goroutine, from another, some time. Run takes it up to
// its very end.
func (k *Keeper) later(f func()) {
	select {
	case k.calls <- f:
	case <-k.done:
	}
}
