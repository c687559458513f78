// Package segment is the node's side of a broadcast domain: the bridge and its
// uplink, made sure of, and let go. It touches only the bridge and the uplink
// that it is given; what others made it never alters, except by the keys whose
// meaning is to do so.
package segment

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

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
	// Uplink is the port to the LAN that Spec named, now a port of the bridge.
	// Where Spec named none it is "": FindUplink looks for one.
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

// Alias marks a bridge that Podlan made under that name. One that was renamed
// since is somebody else's.
func Alias(bridge string) string { return "podlan:1:" + digest(bridge)[:12] }

// temporary is the name under which a bridge is made. One that stands was left
// by a plugin that died.
func temporary(bridge string) string { return "podlan-t" + digest(bridge)[:6] }

func digest(bridge string) string {
	sum := sha256.Sum256([]byte(bridge))
	return hex.EncodeToString(sum[:])
}

// Ensure makes sure of the segment at the place that Resolve has found for spec:
// what stands is used as it is, what is missing is made. It may be called again.
// The caller holds the place's locks across processes. Errors: code 7 for what the configuration must change, 102 for a
// bridge of others that is down.
func Ensure(ctx context.Context, h *rtnl.Handle, spec Spec, _ Place) (Segment, error) {
	return ensure(ctx, h, spec, (*rtnl.Handle).Wireless)
}

// wirelessProbe tells whether the link of that index is a Wi-Fi interface.
type wirelessProbe func(h *rtnl.Handle, index int) (bool, error)

func ensure(_ context.Context, h *rtnl.Handle, spec Spec, probe wirelessProbe) (Segment, error) {
	link, err := h.Link(spec.Bridge)
	if errors.Is(err, rtnl.ErrNotFound) {
		if link, err = build(h, spec, probe); err != nil {
			return Segment{}, err
		}
	}
	if err != nil {
		return Segment{}, fmt.Errorf("bridge: %w", err)
	}
	seg, err := adopt(h, link, spec, probe)
	if err != nil {
		return Segment{}, err
	}
	// The administrator's wish, not the count: a capture that makes the bridge
	// promiscuous ends.
	if spec.Promisc && link.Attrs().RawFlags&unix.IFF_PROMISC == 0 {
		if err := h.Change(seg.Index, rtnl.Change{Promisc: true}); err != nil {
			return Segment{}, fmt.Errorf("key \"promiscMode\": %w", err)
		}
	}
	return seg, nil
}

// adopt takes a bridge that stands as it is. Only what a killed plugin left
// undone on one of ours is finished.
func adopt(h *rtnl.Handle, link netlink.Link, spec Spec, probe wirelessProbe) (Segment, error) {
	attrs := link.Attrs()
	if link.Type() != "bridge" {
		return Segment{}, configError("bridge", spec.Bridge,
			fmt.Sprintf("a link of that name exists and is a %s", link.Type()), "the name of a bridge, or a name that is free")
	}
	ours := attrs.Alias == Alias(spec.Bridge)
	uplink, err := adoptUplink(h, attrs.Index, ours, spec, probe)
	if err != nil {
		return Segment{}, err
	}
	if attrs.Flags&net.FlagUp == 0 {
		if err := raise(h, attrs, ours); err != nil {
			return Segment{}, err
		}
	}
	return Segment{
		Bridge: attrs.Name, Index: attrs.Index, MAC: attrs.HardwareAddr, MTU: attrs.MTU,
		Uplink: uplink, Made: ours,
	}, nil
}

func raise(h *rtnl.Handle, bridge *netlink.LinkAttrs, ours bool) error {
	if !ours {
		return types.NewError(uint(leaseapi.CodeBridgeDown), fmt.Sprintf("bridge %s is down", bridge.Name),
			fmt.Sprintf("Podlan did not make it and leaves it as it is: ip link set %s up", bridge.Name))
	}
	if err := h.SetUp(bridge.Index); err != nil {
		return fmt.Errorf("set bridge %s up: %w", bridge.Name, err)
	}
	return nil
}

func configError(key, value, what, allowed string) error {
	return types.NewError(uint(leaseapi.CodeConfig), fmt.Sprintf("key %q: %q: %s", key, value, what), "allowed: "+allowed)
}
