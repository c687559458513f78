package attach

import (
	"context"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/segment"
)

// nodeSide makes the node's side of the Pod's leg: on record before anything of it is
// made, and before the Pod's.
func (a *add) nodeSide(ctx context.Context) error {
	if !a.rec.Service.On() {
		return nil
	}
	var err error
	if a.rec.NodeIP, err = leg.NodeIP(a.links, a.rec.Service); err != nil {
		return err
	}
	if a.rec.Leg, err = a.legDevice(ctx); err != nil {
		return err
	}
	if err := a.record(); err != nil {
		return err
	}
	return a.warned(a.store.AddLeg(ctx, a.legs, a.rec))
}

// podSide gives the Pod its way to Services and to its node. It comes after the
// announcement, which sets the Pod end's MAC: with that, the kernel forgets all
// neighbours.
func (a *add) podSide(ctx context.Context) error {
	if a.rec.Leg == "" {
		return nil
	}
	var err error
	a.rec, err = a.rec.ConfigureLeg(ctx, a.links)
	return a.warned(err)
}

// legDevice is the node's on the Pods' VLAN.
func (a *add) legDevice(ctx context.Context) (string, error) {
	vid := a.rec.PVID()
	if vid == 0 {
		return a.rec.Bridge, nil
	}
	unlock, err := a.store.LockSegment(ctx, a.rec.Place().Locks())
	if err != nil {
		return "", notLocked(ctx, err)
	}
	defer unlock()
	device, err := segment.VLANDevice(ctx, a.links, a.rec.Bridge, vid)
	return device.Name, err
}

// warned has the runtime's log tell what this node does without.
func (n *node) warned(err error) error {
	short := leg.Shortfalls(err)
	if len(short) == 0 {
		return err
	}
	n.tell(short)
	return nil
}

func (n *node) tell(all []*leg.Shortfall) {
	for _, short := range all {
		n.warn([]string{short.Error()})
	}
}

// verifyLeg returns nil if both sides are as ADD or podland left them.
func (n *node) verifyLeg(ctx context.Context, rec attachment.Record) error {
	l, ok := rec.PodLeg()
	if !ok {
		return nil
	}
	device, err := n.links.Link(rec.Leg)
	if err != nil {
		return changed("the node's device on the Pods' segment is gone", err.Error())
	}
	if mac := device.Attrs().HardwareAddr.String(); mac != rec.PodSide.LegMAC {
		return changed("the Pod does not know its node by its MAC any more, nor what that brings it", "the MAC of "+rec.Leg+" is "+mac+", not "+rec.PodSide.LegMAC)
	}
	if err := n.legs.Check(ctx, l); err != nil {
		return err
	}
	return leg.VerifyPod(ctx, rec.Netns, rec.IfName, rec.SideGiven())
}
