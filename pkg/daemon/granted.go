package daemon

import (
	"context"
	"errors"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/segment"
)

// granted puts back what Podlan has added for the attachment to the VLAN tables
// of its bridge, after somebody has taken it away or made the bridge anew. What
// stood there before Podlan came is somebody else's, to be missed by CHECK.
func (r *restorer) granted(ctx context.Context, seen attachment.Record) error {
	if owed, err := r.owed(seen); err != nil || empty(owed) {
		return err
	}
	lock, rec, err := r.store.TryTake(seen.Key)
	if notNow(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Release()
	unlock, err := r.store.LockSegment(ctx, rec.Place().Locks())
	if err != nil {
		return err
	}
	defer unlock()
	owed, err := r.owed(rec)
	if err != nil || empty(owed) {
		return err
	}
	if err := segment.Give(r.links, rec.Place(), owed); err != nil {
		return err
	}
	r.count("port_restored")
	r.log.Warn("somebody had taken VLANs from the bridge: restored", "bridge", rec.Bridge, "uplink", rec.Uplink, "vlans", owed)
	return nil
}

// owed is what is missing of the record's grant.
func (r *restorer) owed(rec attachment.Record) (segment.Grant, error) {
	if rec.State != attachment.Ready || empty(rec.Granted) {
		return segment.Grant{}, nil
	}
	missing, err := segment.Missing(r.links, rec.Place())
	if errors.Is(err, rtnl.ErrNotFound) || errors.Is(err, rtnl.ErrNoPort) {
		return segment.Grant{}, nil // its port says so
	}
	return rec.Owed(missing), err
}

func empty(g segment.Grant) bool { return len(g.Uplink)+len(g.Bridge) == 0 }
