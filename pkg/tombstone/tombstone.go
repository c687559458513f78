// Package tombstone keeps the DELs that podland has yet to hear of: podlan-dhcp
// writes one when podland is down, podland settles it, or forgets it where the
// attachment is made anew. It touches one folder of the state directory.
package tombstone

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/podlan/podlan/pkg/fault"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/statefile"
)

const folder = "tombstones"

// Put remembers, durably, that the attachment's lease is to be given back.
func Put(stateDir string, key leaseapi.Key) error {
	dir, err := statefile.Open(filepath.Join(stateDir, folder))
	if err != nil {
		return err
	}
	return dir.Put(key.Hash(), key)
}

// Clear forgets the attachment's tombstone, for an ADD that makes it anew. It
// waits for a Settle that is at work on it: what comes after is not released.
func Clear(ctx context.Context, stateDir string, key leaseapi.Key) error {
	dir, err := statefile.Open(filepath.Join(stateDir, folder))
	if err != nil {
		return err
	}
	if !stands(dir, key.Hash()) {
		return nil
	}
	lock, err := statefile.Acquire(ctx, dir.Path(), lockOf(key.Hash()))
	if err != nil {
		return err
	}
	defer lock.Retire()
	return dir.Delete(key.Hash())
}

// Settle calls release for every tombstone and forgets those it succeeds for.
// One that cannot be settled does not keep the others waiting.
func Settle(stateDir string, release func(leaseapi.Key) error) error {
	dir, err := statefile.Open(filepath.Join(stateDir, folder))
	if err != nil {
		return err
	}
	keys := map[string]leaseapi.Key{}
	err = dir.Each(func(name string, data []byte) error {
		var key leaseapi.Key
		if err := json.Unmarshal(data, &key); err != nil {
			return err
		}
		keys[name] = key
		return nil
	})
	for name, key := range keys {
		err = errors.Join(err, settle(dir, name, func() error { return release(key) }))
	}
	return err
}

// settle does one, unless it was cleared since it was listed, or is being.
func settle(dir statefile.Dir, name string, release func() error) error {
	lock, err := statefile.TryAcquire(dir.Path(), lockOf(name))
	if errors.Is(err, statefile.ErrLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Retire()
	if !stands(dir, name) {
		return nil
	}
	fault.Point("tombstone.settle.before")
	if err := release(); err != nil {
		return err
	}
	fault.Point("tombstone.settle.released")
	return dir.Delete(name)
}

func stands(dir statefile.Dir, name string) bool {
	return !errors.Is(dir.Get(name, new(json.RawMessage)), fs.ErrNotExist)
}

func lockOf(name string) string { return name + ".lock" }
