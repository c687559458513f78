package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
)

// ports puts back the ports that do not stand. All records are read once for all
// of these, and after the look at the last: a later port that has taken a MAC's
// entry from another has its record by then.
func (r *restorer) ports(ctx context.Context, seen []attachment.Record) {
	var fallen []attachment.Record
	for _, rec := range seen {
		if rec.State == attachment.Ready && !r.stands(rec) {
			fallen = append(fallen, rec)
		} else {
			r.report("port of "+rec.Key.String(), nil)
		}
	}
	all := sync.OnceValues(r.records)
	for _, rec := range fallen {
		r.report("port of "+rec.Key.String(), r.port(ctx, rec, all))
	}
}

// port puts a port back into its bridge, and its flags and entries in place. One
// whose bridge is gone is set down: no guard stands behind it.
func (r *restorer) port(ctx context.Context, seen attachment.Record, all func() ([]attachment.Record, error)) error {
	lock, rec, err := r.store.TryTake(seen.Key)
	if notNow(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Release()
	if rec.Closed != "" && !rec.DHCP {
		return nil
	}
	if late, err := r.superseded(rec, all); late || err != nil {
		return err
	}
	link, err := r.links.Link(rec.HostEnd)
	if errors.Is(err, rtnl.ErrNotFound) {
		return nil // the reconciler's business
	}
	if err != nil {
		return err
	}
	return r.inBridge(ctx, rec, link.Attrs().Index, link.Attrs().MasterIndex)
}

// stands tells whether there is nothing to be done: a lock would be in the way of
// verbs.
func (r *restorer) stands(rec attachment.Record) bool {
	link, err := r.links.Link(rec.HostEnd)
	if err != nil {
		return errors.Is(err, rtnl.ErrNotFound)
	}
	bridge, err := r.links.Link(rec.Bridge)
	if err != nil || link.Attrs().MasterIndex != bridge.Attrs().Index {
		return false
	}
	flags, secure, err := pod.Secured(r.links, link.Attrs().Index, rec.HardwareAddr(), rec.PortFlags(r.bridged), r.known[rec.HostEnd])
	if err != nil || !secure {
		return false
	}
	r.taken[rec.HostEnd] = &flags
	return true
}

func (r *restorer) inBridge(ctx context.Context, rec attachment.Record, index, master int) error {
	bridge, err := r.links.Link(rec.Bridge)
	if errors.Is(err, rtnl.ErrNotFound) {
		return errors.Join(fmt.Errorf("bridge %s is gone, the port is down until it is back", rec.Bridge), r.links.SetDown(index))
	}
	if err != nil {
		return err
	}
	if master == bridge.Attrs().Index {
		err := r.secure(ctx, rec, index)
		if errors.Is(err, pod.ErrNotFiltering) {
			// Its Pod would be on a network that it was kept from.
			return errors.Join(fmt.Errorf("bridge %s, the port is down until it does: %w", rec.Bridge, err), r.links.Change(index, rtnl.Change{Down: true, NoMaster: true}))
		}
		return err
	}
	return r.rejoin(ctx, rec, index, bridge.Attrs().Index)
}

func (r *restorer) rejoin(ctx context.Context, rec attachment.Record, index, bridge int) error {
	// Down first: not one frame passes before the guard stands.
	if err := r.links.SetDown(index); err != nil {
		return err
	}
	if err := pod.Join(ctx, r.links, rec.HostEnd, bridge, rec.HardwareAddr(), rec.PortFlags(r.bridged)); err != nil {
		return err
	}
	r.count("port_restored")
	r.log.Warn("somebody had taken the port from its bridge: restored", "key", rec.Key.String(), "port", rec.HostEnd, "bridge", rec.Bridge)
	return nil
}

// secure puts back the VLANs, flags and entries of a port that is in its bridge.
func (r *restorer) secure(ctx context.Context, rec attachment.Record, index int) error {
	flags, changed, err := pod.Secure(ctx, r.links, index, rec.HardwareAddr(), rec.PortFlags(r.bridged), r.known[rec.HostEnd])
	if err != nil {
		return err
	}
	r.taken[rec.HostEnd] = &flags
	if changed {
		r.count("port_restored")
		r.log.Warn("somebody had changed the port's VLANs, flags or entries: restored", "key", rec.Key.String(), "port", rec.HostEnd)
	}
	return nil
}
