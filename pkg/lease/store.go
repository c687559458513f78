package lease

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// formatVersion of the files. A newer one is refused and left where it is.
const formatVersion = 1

// stored is a lease's file.
type stored struct {
	Version int              `json:"version"`
	Key     leaseapi.Key     `json:"key"`
	Request leaseapi.Request `json:"request"`
	Lease   dhcp4.Lease      `json:"lease"`
	// Lost is why the server took the lease back; empty while it is held.
	Lost string `json:"lost,omitempty"`
	// BootID is the boot whose clock the lease's times are of. AcquiredAt is
	// for another boot.
	BootID     string    `json:"bootID"`
	AcquiredAt time.Time `json:"acquiredAt"`
	// OwnedAt orders two files of one client, of which a kill left both.
	OwnedAt time.Time `json:"ownedAt"`
}

// save writes the entry's file and then, on Run's goroutine, calls then.
func (k *Keeper) save(e *entry, then func(error)) {
	l, ok := e.terms()
	if !ok {
		return
	}
	s := stored{
		Version: formatVersion, Key: e.key, Request: e.req, Lease: l, Lost: e.reason, BootID: k.cfg.BootID,
		AcquiredAt: time.Now().Add(l.Acquired - k.cfg.Now()), OwnedAt: time.Now(),
	}
	name, key := e.key.Hash(), e.key.String()
	k.store.add(name, func() {
		err := k.dir.Put(name, s)
		k.stored(key, err, then)
	})
}

// erase removes a key's file and then calls then.
func (k *Keeper) erase(key leaseapi.Key, then func(error)) {
	name := key.Hash()
	k.store.add(name, func() {
		err := k.dir.Delete(name)
		k.stored(key.String(), err, then)
	})
}

func (k *Keeper) stored(key string, err error, then func(error)) {
	if err != nil {
		k.cfg.Log.Error("lease not stored", "key", key, "error", err)
	}
	if then != nil {
		k.later(func() { then(err) })
	}
}

// load takes up what is in the folder.
func (k *Keeper) load() error {
	now := k.cfg.Now()
	newer := 0
	err := k.dir.Each(func(_ string, data []byte) error {
		s, err := decodeStored(data)
		if errors.Is(err, errNewer) {
			newer++
			return nil
		}
		if err != nil {
			return err
		}
		k.adopt(s, now)
		return nil
	})
	if err != nil {
		k.cfg.Log.Error("leases that cannot be read are set aside", "error", err)
	}
	if newer > 0 {
		return fmt.Errorf("%s: %d leases are of a newer podland's format; this one reads up to version %d", k.cfg.Dir, newer, formatVersion)
	}
	if n := len(k.leases); n > 0 {
		k.cfg.Log.Info("leases taken up again, without a packet", "leases", n)
		k.cfg.Observer.Readopted(n)
	}
	return nil
}

var errNewer = errors.New("of a newer version")

// decodeStored reads a file and checks what the keeper relies on.
func decodeStored(data []byte) (stored, error) {
	var s stored
	if err := json.Unmarshal(data, &s); err != nil {
		return s, err
	}
	if s.Version > formatVersion {
		return s, errNewer
	}
	if _, err := dhcp4.ParseMAC(s.Request.MAC); err != nil {
		return s, fmt.Errorf("mac: %w", err)
	}
	l := s.Lease
	switch {
	case s.Key.Network == "" || s.Key.ContainerID == "" || s.Key.IfName == "":
		return s, fmt.Errorf("key %q is not whole", s.Key)
	case !l.Address.IsValid() || !l.Address.Addr().Is4() || !l.Server.Is4():
		return s, fmt.Errorf("address %s of server %s", l.Address, l.Server)
	case l.T1 > l.T2 || l.T2 > l.Expiry || l.Acquired > l.Expiry:
		return s, fmt.Errorf("times %s, %s, %s are out of order", l.T1, l.T2, l.Expiry)
	case s.Request.Transport != leaseapi.FromUplink && s.Request.Transport != leaseapi.FromPod:
		return s, fmt.Errorf("transport %q", s.Request.Transport)
	}
	return s, nil
}

// adopt makes an entry of a file. Whether its Pod is still there, Confirm
// tells. What ran out meanwhile is asked for again.
func (k *Keeper) adopt(s stored, now time.Duration) {
	e := k.newEntry(s.Key, s.Request)
	if twin := k.clients[e.who]; twin != nil {
		k.erase(s.Key, nil) // a kill came between taking over and forgetting
		return
	}
	l := s.Lease
	if s.BootID != k.cfg.BootID {
		l = l.Shift(now - time.Since(s.AcquiredAt) - l.Acquired)
	}
	e.stage, e.lastLease, e.reason, e.confirmBy = pending, l, s.Lost, now
	if s.Lost != "" || now >= l.Expiry {
		e.stage = lost
		if e.reason == "" {
			e.reason = "the lease ran out while podland was down"
		}
		e.former = true
		e.segment.enter(e, background)
	} else {
		e.client = dhcp4.Adopt(k.params(s.Request, e.who.mac), k.rng, l)
	}
	k.leases[e.key], k.clients[e.who] = e, e
	k.due.set(e)
}

// writers put files in place off Run's goroutine, a few at once: a flush takes
// its time. What concerns one name keeps its order.
type writers struct {
	lanes []*writeLane
	all   sync.WaitGroup
}

const writeLanes = 4

// writeLane is an unbounded queue with one worker: Run must never wait for a
// disk.
type writeLane struct {
	mu    sync.Mutex
	more  *sync.Cond
	jobs  []func()
	ended bool
}

func newWriters() *writers {
	w := &writers{}
	for range writeLanes {
		l := &writeLane{}
		l.more = sync.NewCond(&l.mu)
		w.lanes = append(w.lanes, l)
		w.all.Go(l.work)
	}
	return w
}

func (w *writers) add(name string, job func()) {
	l := w.lanes[int(name[0])%len(w.lanes)]
	l.mu.Lock()
	defer l.mu.Unlock()
	l.jobs = append(l.jobs, job)
	l.more.Signal()
}

// close lets what is queued be done, and waits for it.
func (w *writers) close() {
	for _, l := range w.lanes {
		l.mu.Lock()
		l.ended = true
		l.more.Signal()
		l.mu.Unlock()
	}
	w.all.Wait()
}

func (l *writeLane) work() {
	for {
		l.mu.Lock()
		for len(l.jobs) == 0 && !l.ended {
			l.more.Wait()
		}
		if len(l.jobs) == 0 {
			l.mu.Unlock()
			return
		}
		job := l.jobs[0]
		l.jobs = l.jobs[1:]
		l.mu.Unlock()
		job()
	}
}
