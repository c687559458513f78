package attachment

import (
	"errors"
	"io/fs"
	"time"

	"github.com/podlan/podlan/pkg/boottime"
	"github.com/podlan/podlan/pkg/pod"
)

// Fate is what became of an attachment that nobody called DEL for.
type Fate int

// The fates.
const (
	// Alive: nothing says otherwise. Doubt is in its favour.
	Alive Fate = iota
	// Abandoned: an ADD died on the way, and its time is over.
	Abandoned
	// Orphaned: its Pod's namespace is gone.
	Orphaned
)

// FateOf decides after the record and the kernel.
func FateOf(rec Record, bootID string, now time.Duration) Fate {
	if rec.State == Intent && (rec.BootID != bootID || now > rec.Deadline) {
		return Abandoned
	}
	if rec.BootID != bootID {
		return Orphaned // no namespace survives a reboot
	}
	inode, err := pod.NetnsInode(rec.Netns)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Orphaned
	case err != nil: // not allowed to look, for one
		return Alive
	case inode != rec.NetnsInode:
		return Orphaned
	}
	return Alive
}

// Stamped returns the record with this boot and the deadline, budget from now.
func (r Record) Stamped(budget time.Duration) (Record, error) {
	id, err := boottime.BootID()
	if err != nil {
		return r, err
	}
	r.BootID, r.Deadline = id, boottime.Now()+budget
	return r, nil
}
