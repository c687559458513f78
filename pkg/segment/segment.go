// Package segment is the node's side of a broadcast domain: the bridge, its
// uplink and the VLAN, made sure of, and let go. It touches only the bridge and
// the uplink that it is given; what others made it never alters, except by the
// keys whose meaning is to do so and by the VLANs of a Grant.
package segment

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/fault"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
)

// Spec is the segment that a network asks for.
type Spec struct {
	// Bridge is the bridge's name; made where it is missing.
	Bridge string
	// Uplink is the bridge's port to the LAN; "" leaves that to the bridge.
	Uplink string
	// MTU, in bytes, is a made bridge's where it has no uplink; 0 means 1500.
	MTU int
	// Promisc sets the bridge promiscuous, and never takes it back.
	Promisc bool
	netconf.VLANs
}

// Segment is a bridge that is up, as it stands.
type Segment struct {
	Bridge string
	Index  int
	MAC    net.HardwareAddr
	MTU    int
	// Uplink is the place's, now a port of the bridge. Where that has none it is
	// "": FindUplink looks for one.
	Uplink string
	// Made: Podlan made the bridge, now or earlier.
	Made bool
	// Filtering: the bridge tells VLANs apart. VLAN is the PVID of the Pod's port
	// (0: the bridge's default); Untagged: the uplink carries it without a tag.
	Filtering bool
	VLAN      uint16
	Untagged  bool
}

// defaultMTU is Ethernet's.
const defaultMTU = 1500

// Ensure makes sure of the segment at the place that Resolve has found for spec:
// what stands is used as it is, what is missing is made. It may be called again.
// The caller holds the place's locks across processes. Errors: code 7 for what the configuration must change, 102 for a
// bridge of others that is down.
func Ensure(_ context.Context, h *rtnl.Handle, spec Spec, place Place) (Segment, error) {
	return newMaker(h).ensure(spec, place)
}

// maker is the handle with what tests replace.
type maker struct {
	*rtnl.Handle
	// wireless tells whether the link of that index is a Wi-Fi interface.
	wireless func(index int) (bool, error)
	// step is passed after each step that a killed process may have ended with.
	step func(name string)
}

func newMaker(h *rtnl.Handle) maker { return maker{Handle: h, wireless: h.Wireless, step: fault.Point} }

func (m maker) ensure(spec Spec, place Place) (Segment, error) {
	spec.Bridge, spec.Uplink = place.Bridge, place.Uplink
	if place.Parent == "" {
		return m.ensureBridge(spec, place)
	}
	err := m.subinterface(place)
	if err == nil {
		var seg Segment
		if seg, err = m.ensureBridge(spec, place); err == nil {
			return seg, nil
		}
	}
	return Segment{}, errors.Join(err, m.releaseDevice(place.Uplink))
}

func (m maker) ensureBridge(spec Spec, place Place) (Segment, error) {
	link, err := m.Link(spec.Bridge)
	if errors.Is(err, rtnl.ErrNotFound) {
		if link, err = m.build(spec, place.Filtering); err != nil {
			return Segment{}, err
		}
	}
	if err != nil {
		return Segment{}, fmt.Errorf("bridge: %w", err)
	}
	seg, err := m.adopt(link, spec)
	if err != nil {
		return Segment{}, err
	}
	// The administrator's wish, not the count: a capture that makes the bridge
	// promiscuous ends.
	if spec.Promisc && link.Attrs().RawFlags&unix.IFF_PROMISC == 0 {
		if err := m.Change(seg.Index, rtnl.Change{Promisc: true}); err != nil {
			return Segment{}, fmt.Errorf("key \"promiscMode\": %w", err)
		}
	}
	if place.Filtering {
		return m.filtering(seg, place)
	}
	return seg, nil
}

// adopt takes a bridge that stands as it is. Only what a killed plugin left
// undone on one of ours is finished.
func (m maker) adopt(link netlink.Link, spec Spec) (Segment, error) {
	attrs := link.Attrs()
	if link.Type() != "bridge" {
		return Segment{}, noBridge(link)
	}
	ours := attrs.Alias == Alias(spec.Bridge)
	if err := m.adoptUplink(attrs.Index, ours, spec); err != nil {
		return Segment{}, err
	}
	if attrs.Flags&net.FlagUp == 0 {
		if err := m.raise("bridge", attrs, ours); err != nil {
			return Segment{}, err
		}
	}
	return Segment{
		Bridge: attrs.Name, Index: attrs.Index, MAC: attrs.HardwareAddr, MTU: attrs.MTU,
		Uplink: spec.Uplink, Made: ours,
	}, nil
}

func noBridge(link netlink.Link) error {
	return configError("bridge", link.Attrs().Name,
		fmt.Sprintf("a link of that name exists and is a %s", link.Type()), "the name of a bridge, or a name that is free")
}

func (m maker) raise(kind string, link *netlink.LinkAttrs, ours bool) error {
	if !ours {
		return types.NewError(uint(leaseapi.CodeBridgeDown), fmt.Sprintf("%s %s is down", kind, link.Name),
			fmt.Sprintf("Podlan did not make it and leaves it as it is: ip link set %s up", link.Name))
	}
	if err := m.SetUp(link.Index); err != nil {
		return fmt.Errorf("set %s %s up: %w", kind, link.Name, err)
	}
	m.step("segment.bridge.up")
	return nil
}

func configError(key, value, what, allowed string) error {
	return types.NewError(uint(leaseapi.CodeConfig), fmt.Sprintf("key %q: %q: %s", key, value, what), "allowed: "+allowed)
}
