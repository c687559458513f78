// Package tombstone keeps the DELs that podland has yet to hear of: podlan-dhcp
// writes one when podland is down, podland settles it. It touches one folder of
// the state directory.
package tombstone

import (
	"encoding/json"
	"path/filepath"

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

// Clear forgets the attachment's tombstone: it has been settled, or the
// attachment is being made anew.
func Clear(stateDir string, key leaseapi.Key) error {
	dir, err := statefile.Open(filepath.Join(stateDir, folder))
	if err != nil {
		return err
	}
	return dir.Delete(key.Hash())
}

// Settle calls release for every tombstone and forgets those it succeeds for.
func Settle(stateDir string, release func(leaseapi.Key) error) error {
	dir, err := statefile.Open(filepath.Join(stateDir, folder))
	if err != nil {
		return err
	}
	var keys []leaseapi.Key
	bad := dir.Each(func(_ string, data []byte) error {
		var key leaseapi.Key
		if err := json.Unmarshal(data, &key); err != nil {
			return err
		}
		keys = append(keys, key)
		return nil
	})
	for _, key := range keys {
		if err := release(key); err != nil {
			return err
		}
		if err := dir.Delete(key.Hash()); err != nil {
			return err
		}
	}
	return bad
}
