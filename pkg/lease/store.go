package lease

import (
	"slices"
	"time"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/fault"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/statefile"
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
	// Void: the lease must not be used. It was only asked for, or its RELEASE
	// has been sent; the server may hold it all the same, and gets another.
	Void bool `json:"void,omitempty"`
	// BootID is the boot whose clock the lease's times are of. AcquiredAt is
	// for another boot.
	BootID     string    `json:"bootID"`
	AcquiredAt time.Time `json:"acquiredAt"`
	// OwnedAt orders two files of one client, of which a kill left both.
	OwnedAt time.Time `json:"ownedAt"`
	// Owned is the same on the boot's clock, which nobody sets.
	Owned time.Duration `json:"ownedNS,omitempty"`

	// Below is where the VLAN interface's frames go, if the uplink is one.
	Below below `json:"below,omitzero"`

	noted bool // it is of the journal, and no file's
}

// save writes the entry's file and then, on Run's goroutine, calls then if it
// is not nil.
func (k *Keeper) save(e *entry, then func(error)) {
	l, _ := e.terms()
	s, asked := k.file(e, l), e.mark.line
	s.Lost, s.Owed = e.reason, e.owed
	k.store.add(s.Key.Hash(), func() {
		k.stored(s.Key, put(k.dir, s, "lease.stored"), func(err error) { k.onDisk(asked, err, then) })
	})
}

// saveVoid writes a file of a lease that must not be used, and then calls then,
// whether it could or not. Nothing is flushed: the file serves if podland is
// killed, and a power cut takes the Pod as well.
func (k *Keeper) saveVoid(e *entry, l dhcp4.Lease, point string, then func()) {
	s, asked := k.file(e, l), e.mark.line
	s.Void = true
	k.store.hurry(s.Key.Hash(), func() {
		k.stored(s.Key, put(k.volatile, s, point), func(err error) {
			k.onDisk(asked, err, func(error) {
				if then != nil {
					then()
				}
			})
		})
	})
}

// onDisk: the file says all that the journal's line did.
func (k *Keeper) onDisk(asked line, err error, then func(error)) {
	if err == nil {
		k.settled(asked)
	}
	if then != nil {
		then(err)
	}
}

// file is record, of an entry that will have a file.
func (k *Keeper) file(e *entry, l dhcp4.Lease) stored {
	e.files = append(slices.DeleteFunc(e.files, func(key leaseapi.Key) bool { return key == e.key }), e.key)
	k.files[e.key] = e
	return k.record(e, l)
}

// record is what there is to be stored of the entry, with that lease.
func (k *Keeper) record(e *entry, l dhcp4.Lease) stored {
	s := stored{
		Version: formatVersion, Key: e.key, Request: e.req, Lease: l, BootID: k.cfg.BootID,
		AcquiredAt: k.cfg.Wall().Add(l.Acquired - k.cfg.Now()), OwnedAt: k.cfg.Wall(), Owned: k.cfg.Now(),
	}
	if e.segment.below.VID != 0 {
		s.Below = e.segment.below
	}
	return s
}

func put(dir statefile.Dir, s stored, point string) error {
	err := dir.Put(s.Key.Hash(), s)
	if err == nil {
		fault.Point(point)
	}
	return err
}

func (k *Keeper) stored(key leaseapi.Key, err error, then func(error)) {
	if err != nil {
		k.cfg.Log.Error("lease not stored", "key", key.String(), "error", err)
	}
	if then != nil {
		k.later(func() { then(err) })
	}
}
