package segment

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
)

// Place says where a segment is: what configuration and kernel determine before
// anything is made, so that it can stand on record first.
type Place struct {
	// Bridge is the bridge's name, <bridge>-<vid> over a sub-interface.
	Bridge string
	// Uplink is the bridge's port to the LAN: over a sub-interface that one, else
	// the one named. Where none is named it is "", but on a bridge that filters
	// its only port that is a NIC, bond, team or VLAN.
	Uplink string
	// Parent is the link on which the sub-interface stands or is to be made; "":
	// no sub-interface.
	Parent string
	// VLAN and OuterVLAN are the sub-interface's tags where Parent is set. On a
	// bridge that filters, VLAN is the PVID of the Pod's port (0: the bridge's
	// default), Trunk what it carries tagged.
	VLAN, OuterVLAN uint16
	Trunk           []netconf.VLANRange
	KeepDefault     bool
	// Filtering: the bridge tells VLANs apart.
	Filtering bool
}

// Resolve decides the mode and the names; it changes nothing. Code 7 for what
// the configuration must change; rtnl.ErrNotFound where a link went while it
// looked, which a second call settles.
func Resolve(_ context.Context, h *rtnl.Handle, spec Spec) (Place, error) {
	return newMaker(h).resolve(spec)
}

func (m maker) resolve(spec Spec) (Place, error) {
	if spec.VLAN == 0 && len(spec.Trunk) == 0 {
		return Place{Bridge: spec.Bridge, Uplink: spec.Uplink}, nil
	}
	if spec.Mode == netconf.ModeSubinterface {
		return m.resolveSub(spec)
	}
	bridge, err := m.Link(spec.Bridge)
	switch {
	case errors.Is(err, rtnl.ErrNotFound):
		if spec.Mode == netconf.ModeAuto && spec.Uplink != "" && len(spec.Trunk) == 0 {
			return m.resolveSub(spec)
		}
		place := filteringPlace(spec, spec.Uplink)
		return place, m.untaken(place)
	case err != nil:
		return Place{}, fmt.Errorf("bridge: %w", err)
	case bridge.Type() != "bridge":
		return Place{}, noBridge(bridge)
	}
	return m.resolveOn(bridge, spec)
}

// resolveOn is about a bridge that stands.
func (m maker) resolveOn(bridge netlink.Link, spec Spec) (Place, error) {
	info, err := m.Bridge(bridge.Attrs().Index)
	if err != nil {
		return Place{}, fmt.Errorf("bridge %s: %w", spec.Bridge, err)
	}
	filter := fmt.Sprintf("ip link set %s type bridge vlan_filtering 1", spec.Bridge)
	switch {
	case info.VLANFiltering && info.ServiceVLANs:
		return Place{}, configError("bridge", spec.Bridge, "it filters by 802.1ad tags, and a Pod's VLAN is one of 802.1Q",
			fmt.Sprintf("a bridge with vlan_protocol 802.1Q (ip link set %s type bridge vlan_protocol 802.1Q)", spec.Bridge))
	case info.VLANFiltering:
		return m.resolveFiltering(bridge, spec)
	case spec.Mode == netconf.ModeFiltering || len(spec.Trunk) > 0:
		return Place{}, configError("vlanMode", string(netconf.ModeFiltering), fmt.Sprintf("bridge %s does not filter VLANs: each Pod on it would be in all of them", spec.Bridge),
			filter+", or the name of a bridge that filters, or one that is free")
	case spec.Uplink == "":
		return Place{}, configError("vlan", strconv.Itoa(int(spec.VLAN)), fmt.Sprintf("bridge %s does not filter VLANs: each Pod on it would be in all of them", spec.Bridge),
			fmt.Sprintf("the NIC's name as \"uplink\", for a bridge of the VLAN's own (%s); or %s", bridgeName(spec.Bridge, 0, spec.VLAN), filter))
	}
	return m.resolveSub(spec)
}

func (m maker) resolveFiltering(bridge netlink.Link, spec Spec) (Place, error) {
	uplink := spec.Uplink
	if uplink == "" {
		var err error
		if uplink, err = m.lanPort(bridge.Attrs().Index, spec.Bridge); err != nil {
			return Place{}, err
		}
	} else if err := m.joinable(bridge, spec); err != nil {
		return Place{}, err
	}
	place := filteringPlace(spec, uplink)
	return place, m.untaken(place)
}

// lanPort returns the bridge's only port that leads out of the node by its kind:
// one that is none of these may be a guest's, and gets no VLAN that nobody named
// it for.
func (m maker) lanPort(bridge int, name string) (string, error) {
	ports, err := m.PortsExcept(bridge, rtnl.HostEndPrefix)
	if err != nil {
		return "", err
	}
	var lan []netlink.Link
	for _, p := range ports {
		if isLAN(p) {
			lan = append(lan, p)
		}
	}
	return choose(name, lan)
}

// joinable refuses an uplink that neither is a port of the bridge nor may become
// one.
func (m maker) joinable(bridge netlink.Link, spec Spec) error {
	_, _, err := m.port(bridge.Attrs().Index, bridge.Attrs().Alias == Alias(spec.Bridge), spec)
	return err
}

func filteringPlace(spec Spec, uplink string) Place {
	return Place{
		Bridge: spec.Bridge, Uplink: uplink, Filtering: true,
		VLAN: spec.VLAN, Trunk: spec.Trunk, KeepDefault: spec.KeepDefault,
	}
}

// untaken refuses VLANs that a VLAN device on the uplink takes from the bridge:
// the kernel hands it their frames before the bridge sees them.
func (m maker) untaken(p Place) error {
	if p.Uplink == "" {
		return nil
	}
	link, err := m.namedUplink(p.Uplink)
	if err != nil {
		return err
	}
	devices, err := m.LinksOfKind("vlan")
	if err != nil {
		return err
	}
	wanted := p.carried()
	for _, d := range devices {
		vlan, ok := d.(*netlink.Vlan)
		if !ok || !stands(vlan, link.Attrs().Index, netlink.VLAN_PROTOCOL_8021Q) || len(present(map[uint16]bool{uint16(vlan.VlanId): true}, wanted)) == 0 {
			continue
		}
		return configError("vlan", strconv.Itoa(vlan.VlanId),
			fmt.Sprintf("%s takes that VLAN's frames from %s before bridge %s sees them", vlan.Name, p.Uplink, p.Bridge),
			fmt.Sprintf("another VLAN; or, where %s is not needed, ip link del %s", vlan.Name, vlan.Name))
	}
	return nil
}
