package attachment

import (
	"context"
	"errors"
	"fmt"

	"github.com/podlan/podlan/pkg/guard"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
)

// Gate closes and opens ports as their leases go and come. All its steps are
// idempotent. The caller holds the attachment's lock.
type Gate struct {
	Links *rtnl.Handle
	Guard *guard.Guard
	Store *Store
}

// Close keeps the Pod from using its address, for the reason: its guard closes,
// its host end goes down, so that the Pod loses carrier. A port from which
// podland itself asks for the lease stays up and lets out nothing else.
func (g Gate) Close(ctx context.Context, rec Record, reason string) error {
	rec.Closed = reason
	// On record first: who finds a closed port and no reason never opens it. A
	// full disk keeps no port open.
	return errors.Join(g.Store.Put(rec), g.Shut(ctx, rec))
}

// Shut is Close of a port that is on record as closed already: a kill may have
// come in between.
func (g Gate) Shut(ctx context.Context, rec Record) error {
	switch {
	case !rec.DHCP && rec.Guard:
		return errors.Join(g.Guard.Remove(ctx, rec.GuardPort()), g.setUp(rec, false))
	case !rec.DHCP:
		return g.setUp(rec, false)
	case rec.Guard:
		asking := rec.GuardPort()
		asking.Addrs = nil
		return g.Guard.Add(ctx, asking)
	}
	// Nothing else keeps the address off the segment.
	return pod.Readdress(ctx, rec.Netns, rec.IfName, rec.Addrs, pod.IPConfig{})
}

// Open lets the Pod use the record's addresses again.
func (g Gate) Open(ctx context.Context, rec Record) error {
	if rec.Guard {
		if err := g.Guard.Add(ctx, rec.GuardPort()); err != nil {
			return err
		}
	}
	if err := g.setUp(rec, true); err != nil {
		return err
	}
	rec.Closed = ""
	return g.Store.Put(rec)
}

func (g Gate) setUp(rec Record, up bool) error {
	link, err := g.Links.Link(rec.HostEnd)
	if err == nil {
		err = g.Links.Change(link.Attrs().Index, rtnl.Change{Up: up, Down: !up})
	}
	if err != nil && (up || !errors.Is(err, rtnl.ErrNotFound)) {
		return fmt.Errorf("host end: %w", err)
	}
	return nil
}
