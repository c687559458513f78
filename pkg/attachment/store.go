package attachment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/podlan/podlan/pkg/statefile"
)

// Store keeps the records of one node, a file each, shared by plugin processes
// and podland. It is safe for concurrent use as long as each key is written
// under its lock.
type Store struct {
	dir   statefile.Dir
	locks string
}

// OpenStore opens the records below stateDir. They mean nothing after a reboot,
// which takes all Pods with it, so they are not flushed to disk.
func OpenStore(stateDir string) (*Store, error) {
	dir, err := statefile.OpenVolatile(filepath.Join(stateDir, "attachments"))
	if err != nil {
		return nil, err
	}
	return &Store{dir: dir, locks: LockDir(stateDir)}, nil
}

// LockDir is where the node's locks lie: one per attachment that has a record,
// one per bridge and what else a segment is made of, one for the guard.
func LockDir(stateDir string) string { return filepath.Join(stateDir, "locks") }

// Put stores the record.
func (s *Store) Put(rec Record) error {
	rec.Version = Version
	return s.dir.Put(rec.Hash(), rec)
}

// Get returns the key's record; an error that is fs.ErrNotExist if it has none.
func (s *Store) Get(key Key) (Record, error) {
	var raw json.RawMessage
	if err := s.dir.Get(key.Hash(), &raw); err != nil {
		return Record{}, err
	}
	rec, err := parse(raw)
	if err != nil {
		return Record{}, fmt.Errorf("record of %s: %w", key, err)
	}
	return rec, nil
}

// Delete removes the key's record; no error if it has none.
func (s *Store) Delete(key Key) error { return s.dir.Delete(key.Hash()) }

// All returns every record. Files that are none are set aside and reported,
// beside the records that could be read. A newer Podlan's stay where they are.
func (s *Store) All() ([]Record, error) {
	all, _, err := s.read()
	return all, err
}

// read is All; newer tells whether there are records that only a newer Podlan
// can read.
func (s *Store) read() (all []Record, newer bool, err error) {
	err = s.dir.Each(func(_ string, data []byte) error {
		rec, err := parse(data)
		if errors.Is(err, ErrNewer) {
			newer = true
			return nil
		}
		if err == nil {
			all = append(all, rec)
		}
		return err
	})
	return all, newer, err
}

// Empty tells whether there is no attachment on the node at all.
func (s *Store) Empty() (bool, error) { return s.dir.Empty() }

// Lock takes the attachment's lock, which every verb holds from start to end.
func (s *Store) Lock(ctx context.Context, key Key) (*statefile.Lock, error) {
	return statefile.Acquire(ctx, s.locks, "attachment-"+key.Hash())
}

// TryLock is Lock without waiting; statefile.ErrLocked if a verb is under way.
func (s *Store) TryLock(key Key) (*statefile.Lock, error) {
	return statefile.TryAcquire(s.locks, "attachment-"+key.Hash())
}

// TryTake locks the attachment, unless a verb is at work on it
// (statefile.ErrLocked), and returns its record; fs.ErrNotExist if it has none,
// any more.
func (s *Store) TryTake(key Key) (*statefile.Lock, Record, error) {
	lock, err := s.TryLock(key)
	if err != nil {
		return nil, Record{}, err
	}
	rec, err := s.Get(key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		lock.Retire() // it was made for nothing
		return nil, Record{}, err
	case err != nil:
		lock.Release()
		return nil, Record{}, err
	}
	return lock, rec, nil
}

// LockSegment takes the locks under which a segment is made or let go, by the
// names of segment.Place.Locks, in that order.
func (s *Store) LockSegment(ctx context.Context, names []string) (unlock func(), err error) {
	var held []*statefile.Lock
	unlock = func() {
		for _, lock := range slices.Backward(held) {
			lock.Release()
		}
	}
	for _, name := range names {
		lock, err := statefile.Acquire(ctx, s.locks, "bridge-"+name)
		if err != nil {
			unlock()
			return nil, err
		}
		held = append(held, lock)
	}
	return unlock, nil
}

// others returns the records of a bridge's attachments, but the key's: those that
// are, or are becoming, ports of it. Not all: there are some, or may be, that
// cannot be read.
func (s *Store) others(bridge string, but Key) (of []Record, all bool, err error) {
	records, newer, err := s.read()
	for _, rec := range records {
		if rec.Bridge == bridge && rec.Key != but {
			of = append(of, rec)
		}
	}
	return of, err == nil && !newer, err
}

// ErrNewer says that the record is a newer Podlan's.
var ErrNewer = errors.New("a newer Podlan's")

// parse reads the version first: of a newer one nothing else is known.
func parse(data []byte) (Record, error) {
	var format struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &format); err != nil {
		return Record{}, err
	}
	if format.Version > Version {
		return Record{}, fmt.Errorf("%w: version %d, this one reads up to %d", ErrNewer, format.Version, Version)
	}
	var rec Record
	err := json.Unmarshal(data, &rec)
	return rec, err
}
