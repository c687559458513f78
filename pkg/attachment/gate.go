package attachment

import (
	"context"
	"errors"
	"fmt"

	"github.com/podlan/podlan/pkg/guard"
	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
)

// Gate closes and opens ports as their leases go and come. All its steps are
// idempotent. The caller holds the attachment's lock.
type Gate struct {
	Links *rtnl.Handle
	Guard *guard.Guard
	Legs  *leg.Node
	Store *Store
}

// Close keeps the Pod from using its address, for the reason: its guard closes,
// its host end goes down, so that the Pod loses carrier, and the node forgets its
// own way to the address. A port from which podland itself asks for the lease
// stays up and lets out nothing else.
func (g Gate) Close(ctx context.Context, rec Record, reason string) error {
	rec.Closed = reason
	// On record first: who finds a closed port and no reason never opens it. A
	// full disk keeps no port open.
	return errors.Join(g.Store.Put(rec), g.Shut(ctx, rec))
}

// Shut is Close of a port that is on record as closed already: a kill may have
// come in between.
func (g Gate) Shut(ctx context.Context, rec Record) error {
	return errors.Join(g.shut(ctx, rec), g.removeLeg(ctx, rec))
}

func (g Gate) shut(ctx context.Context, rec Record) error {
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
	return rec.Readdress(ctx, pod.IPConfig{})
}

// Open lets the Pod use the record's addresses again. The node's way to them
// comes last: what is wrong with that keeps no port closed.
func (g Gate) Open(ctx context.Context, rec Record) error {
	if rec.Guard {
		if err := g.Guard.Add(ctx, rec.GuardPort()); err != nil {
			return err
		}
	}
	if err := g.setUp(rec, true); err != nil {
		return err
	}
	rec.Closed, rec.LegLeaves = "", false
	if err := g.Store.Put(rec); err != nil {
		return err
	}
	err := g.Store.AddLeg(ctx, g.Legs, rec)
	if _, short := errors.AsType[*leg.Shortfall](err); short {
		err = nil // told by podland's look at all legs
	}
	return err
}

// removeLeg takes the node's side away, once: another may have the address by now.
func (g Gate) removeLeg(ctx context.Context, rec Record) error {
	l, ok := rec.PodLeg()
	if !ok || rec.LegLeaves {
		return nil
	}
	err := g.Legs.Remove(ctx, l, func() ([]leg.Leg, error) { return g.Store.legs(rec.Key) })
	if err := Teardown(g).unlessUseless(ctx, err); err != nil {
		return err
	}
	rec.LegLeaves = true
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
