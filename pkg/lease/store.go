package lease

import (
	"slices"
	"time"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/fault"
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
	// Owed: the lease is nobody's any more, only its RELEASE could not be sent.
	Owed bool `json:"owed,omitempty"`
	// BootID is the boot whose clock the lease's times are of. AcquiredAt is
	// for another boot.
	BootID     string    `json:"bootID"`
	AcquiredAt time.Time `json:"acquiredAt"`
	// OwnedAt orders two files of one client, of which a kill left both.
	OwnedAt time.Time `json:"ownedAt"`
	// Owned is the same on the boot's clock, which nobody sets.
	Owned time.Duration `json:"ownedNS,omitempty"`
}

// save writes the entry's file and then, on Run's goroutine, calls then if it
// is not nil.
func (k *Keeper) save(e *entry, then func(error)) {
	l, _ := e.terms()
	s := stored{
		Version: formatVersion, Key: e.key, Request: e.req, Lease: l, Lost: e.reason, Owed: e.owed, BootID: k.cfg.BootID,
		AcquiredAt: k.cfg.Wall().Add(l.Acquired - k.cfg.Now()), OwnedAt: k.cfg.Wall(), Owned: k.cfg.Now(),
	}
	e.files = append(slices.DeleteFunc(e.files, func(key leaseapi.Key) bool { return key == e.key }), e.key)
	name, key := e.key.Hash(), e.key.String()
	k.store.add(name, func() {
		err := k.dir.Put(name, s)
		if err == nil {
			fault.Point("lease.stored")
		}
		k.stored(key, err, then)
	})
}

// erase removes a key's file and then calls then.
func (k *Keeper) erase(key leaseapi.Key, then func(error)) {
	name := key.Hash()
	k.store.add(name, func() {
		err := k.dir.Delete(name)
		if err == nil {
			fault.Point("lease.erased")
		}
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

// eraseFormer removes the files under the entry's former keys.
func (k *Keeper) eraseFormer(e *entry) {
	var own []leaseapi.Key
	for _, key := range e.files {
		switch {
		case key == e.key:
			own = append(own, key)
		case !k.othersFile(e, key):
			k.erase(key, nil)
		}
	}
	e.files = own
}

// eraseAll removes all files of the entry and then calls then.
func (k *Keeper) eraseAll(e *entry, then func()) {
	files := e.files
	e.files = nil
	left := 1
	one := func(error) {
		if left--; left == 0 {
			then()
		}
	}
	for _, key := range files {
		if !k.othersFile(e, key) {
			left++
			k.erase(key, one)
		}
	}
	one(nil)
}

// othersFile tells whether the key's file is meanwhile another entry's.
func (k *Keeper) othersFile(e *entry, key leaseapi.Key) bool {
	other := k.leases[key]
	return other != nil && other != e && slices.Contains(other.files, key)
}
