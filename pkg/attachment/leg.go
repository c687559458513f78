package attachment

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
)

// PodSide is what a Pod's end was given of its leg, beside the networks of
// Services.
type PodSide struct {
	// LegMAC is the leg device's.
	LegMAC string `json:"legMAC,omitempty"`
	// NodeAddrs are the node's, by the leg.
	NodeAddrs []netip.Addr `json:"nodeAddresses,omitempty"`
	// NoReplies: answers do not return by the node, for want of nftables there.
	NoReplies bool `json:"noReplies,omitempty"`
}

// PodLeg returns the record's leg, false if nothing of it can have been made.
func (r Record) PodLeg() (leg.Leg, bool) {
	return leg.Leg{
		Port: r.HostEnd, Device: r.Leg, Bridge: r.Bridge, Addrs: r.Addrs, MAC: r.HardwareAddr(),
		NodeIP: r.NodeIP, Service: r.Service,
	}, r.Leg != ""
}

// LegWanted tells whether the node needs its side of the record's leg: not of a
// Pod whose address may be another's by now, nor of one that a DEL takes down.
func (r Record) LegWanted() bool { return r.Leg != "" && r.Closed == "" && !r.LegLeaves }

// SideNow returns what the Pod's end is to have, by the record and by the node as
// it is, with its own addresses.
func (r Record) SideNow(h *rtnl.Handle, own leg.Addresses) (leg.PodSide, error) {
	link, err := h.Link(r.Leg)
	if err != nil {
		return leg.PodSide{}, err
	}
	l, _ := r.PodLeg()
	addrs, err := own.Towards(l)
	side := r.SideGiven()
	side.LegMAC, side.NodeAddrs, side.NoReplies = link.Attrs().HardwareAddr, addrs, false
	return side, err
}

// SideGiven returns what the Pod's end was given.
func (r Record) SideGiven() leg.PodSide {
	side := leg.PodSide{
		Addrs: r.Addrs, LegMAC: parseMAC(r.PodSide.LegMAC), CIDRs: r.Service.CIDRs,
		NodeAddrs: r.PodSide.NodeAddrs, NoReplies: r.PodSide.NoReplies,
	}
	if mac := r.HardwareAddr(); mac != nil {
		side.PortMAC = pod.HostMAC(mac)
	}
	return side
}

// ConfigureLeg gives the Pod's end its side, as it is to be now, and returns the
// record with it. A *leg.Shortfall beside the record: all but that stands.
func (r Record) ConfigureLeg(ctx context.Context, h *rtnl.Handle) (Record, error) {
	if err := r.leadsToPod(); err != nil {
		return r, err
	}
	side, err := r.SideNow(h, leg.AddressesOf(h))
	if err != nil {
		return r, err
	}
	err = leg.ConfigurePod(ctx, r.Netns, r.IfName, side)
	_, short := errors.AsType[*leg.Shortfall](err)
	if err != nil && !short {
		return r, err
	}
	r.PodSide = PodSide{LegMAC: side.LegMAC.String(), NodeAddrs: side.NodeAddrs, NoReplies: short}
	return r, err
}

// AddLeg makes the node's side of the record's leg, which is on record. Nothing but
// shortfalls (leg.Shortfalls): all but that stands.
func (s *Store) AddLeg(ctx context.Context, n *leg.Node, rec Record) error {
	l, ok := rec.PodLeg()
	if !ok {
		return nil
	}
	return n.Add(ctx, l, func() ([]leg.Leg, error) {
		others, _ := s.legs(rec.Key) // what cannot be read is not in its way
		return others, nil
	})
}

// Shortfalls returns what the node's legs do without.
func (s *Store) Shortfalls(ctx context.Context, n *leg.Node) []*leg.Shortfall {
	legs, _ := s.legs(Key{}) // those that can be read
	return n.Shortfalls(ctx, legs)
}

// legs lists those that the node needs its side of, but for the key's; with an
// error, those whose records could be read.
func (s *Store) legs(but Key) ([]leg.Leg, error) {
	records, err := s.All()
	var legs []leg.Leg
	for _, rec := range records {
		if l, _ := rec.PodLeg(); rec.Key != but && rec.LegWanted() {
			legs = append(legs, l)
		}
	}
	return legs, err
}

// removeLeg takes the node's side away.
func (t Teardown) removeLeg(ctx context.Context, rec Record) error {
	l, ok := rec.PodLeg()
	if !ok {
		return nil
	}
	err := t.Legs.Remove(ctx, l, func() ([]leg.Leg, error) {
		// Of two that end at once, each would have what the other has removed put
		// back. A full disk is no reason to keep any of it.
		rec.LegLeaves = true
		_ = t.Store.Put(rec)
		others, err := t.Store.legs(rec.Key)
		if err != nil { // now what is damaged has been set aside
			others, err = t.Store.legs(rec.Key)
		}
		return others, err
	})
	return t.unlessUseless(ctx, err)
}

// unlessUseless drops errors about rules where the kernel does not even answer a
// question about them: without nftables nothing stands, and a DEL that failed for
// it would fail for ever.
func (t Teardown) unlessUseless(ctx context.Context, failed error) error {
	if failed == nil {
		return nil
	}
	if _, err := t.Legs.Intact(ctx, nil); err == nil {
		return failed
	}
	var left error
	for _, err := range each(failed) {
		refused, ok := errors.AsType[*types.Error](err)
		if ok && refused.Code == uint(leaseapi.CodeService) || errors.Is(err, unix.EPROTONOSUPPORT) {
			continue
		}
		left = errors.Join(left, err)
	}
	return left
}

// each returns the errors that errors.Join has made one of.
func each(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = slices.Concat(all, each(e))
	}
	return all
}
