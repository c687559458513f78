package attachment

import (
	"context"
	"errors"
	"fmt"
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

// leadsToPod is nil where the record's path leads to the Pod's namespace. What has
// taken it since, as a PID that is used again, may be the node's own.
func (r Record) leadsToPod() error {
	inode, err := pod.NetnsInode(r.Netns)
	if err == nil && inode != r.NetnsInode {
		err = fmt.Errorf("the namespace at %s is not the Pod's any more", r.Netns)
	}
	return err
}

// Readdress gives the Pod's end that address configuration for what is on record.
func (r Record) Readdress(ctx context.Context, cfg pod.IPConfig) error {
	if err := r.leadsToPod(); err != nil {
		return err
	}
	return pod.Readdress(ctx, r.Netns, r.IfName, r.Addrs, cfg)
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
