package leg

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// refused asks for the others only where one can have an address of the leg's.
func (n *Node) refused(ctx context.Context, l Leg, own Addresses, others Legs) error {
	if (rules{n.h}).free(ctx, l) && (routes{own}).free(l) {
		return nil
	}
	legs, err := others()
	if err != nil {
		return fmt.Errorf("leg: %w", err)
	}
	return l.refused(legs)
}

// free tells whether the table stands and has nothing else for the leg's addresses.
// What cannot be read is not free.
func (r rules) free(ctx context.Context, l Leg) (free bool) {
	err := r.session(ctx, func(t *table) error {
		stood, err := t.standsFor(l)
		free = stood.whole && !stood.disputed(l)
		return err
	})
	return free && err == nil
}

// free tells whether the node can have no way of ours to any of the leg's addresses:
// neither a route, nor one that needs none.
func (r routes) free(l Leg) bool {
	return !slices.ContainsFunc(l.addrs(), func(pod netip.Addr) bool {
		route, ok, err := r.h.HostRoute(pod)
		if err != nil || ok && route.Protocol == Origin {
			return true
		}
		near, err := r.nearAnother(l, pod)
		return near || err != nil
	})
}

// nearAnother tells whether the node is in the Pod's network by another device that
// may have Pods: they have no route of their own, and once somebody has flushed the
// table's elements, nothing else in the kernel tells of them.
func (r routes) nearAnother(l Leg, pod netip.Addr) (bool, error) {
	own, err := r.own()
	if err != nil {
		return false, err
	}
	for _, o := range own {
		if !o.Masked().Contains(pod) {
			continue
		}
		link, err := r.h.LinkByIndex(o.link)
		if err != nil {
			return false, err
		}
		// A NIC in the Pods' network, as the node's own often is, has none.
		if link.Attrs().Name != l.Device && (link.Type() == "bridge" || link.Type() == "vlan") {
			return true, nil
		}
	}
	return false, nil
}

// refused: one address leads to one device. On the leg's own device another leg
// with it is an earlier sandbox of the same Pod, whose DEL is on its way.
func (l Leg) refused(others []Leg) error {
	for _, o := range others {
		for _, a := range o.Addrs {
			if o.Device != l.Device && slices.Contains(l.addrs(), a.Addr()) {
				return types.NewError(uint(leaseapi.CodeConfig),
					fmt.Sprintf("address %s is that of another Pod of this node, on %s (port %s)", a.Addr(), o.Device, o.Port),
					fmt.Sprintf("this one is on %s, and the node has one way to an address; allowed: another address, or \"service\": {\"mode\": \"off\"} for one of the two networks", l.Device))
			}
		}
	}
	return nil
}
