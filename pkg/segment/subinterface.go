package segment

import (
	"fmt"
	"strconv"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/netconf"
)

// resolveSub places a segment over a sub-interface: one that stands under
// whatever name, since the kernel allows one per VID and link, or one of our
// naming.
func (m maker) resolveSub(spec Spec) (Place, error) {
	parent, err := m.parent(spec)
	if err != nil {
		return Place{}, err
	}
	place := Place{
		Bridge: bridgeName(spec.Bridge, spec.OuterVLAN, spec.VLAN), Parent: spec.Uplink,
		VLAN: spec.VLAN, OuterVLAN: spec.OuterVLAN,
	}
	stands := parent
	for _, d := range tags(place) {
		if stands, err = m.resolveDevice(stands, d); err != nil {
			return Place{}, err
		}
		place.Uplink = d.name
	}
	if stands == nil {
		return place, nil
	}
	place.Uplink = stands.Attrs().Name
	return place, m.adoptable(stands, place)
}

// resolveDevice returns the device if it stands, nil if it may be made.
func (m maker) resolveDevice(parent netlink.Link, d device) (netlink.Link, error) {
	if parent != nil {
		if found, _, err := m.find(parent, d); err != nil || found != nil {
			return found, err
		}
		if err := m.sound(parent); err != nil {
			return nil, err
		}
		if err := m.uncarried(parent, d); err != nil {
			return nil, err
		}
	}
	return nil, m.unnamed(parent, d)
}

// parent returns the link that the sub-interface is to stand on. Its addresses
// are no matter, they stay its own.
func (m maker) parent(spec Spec) (netlink.Link, error) {
	if spec.Uplink == "" {
		return nil, configError("uplink", "", fmt.Sprintf("\"vlanMode\": %q needs the link that carries the VLANs", netconf.ModeSubinterface), candidates(m.Handle))
	}
	if len(spec.Trunk) > 0 {
		return nil, configError("vlanMode", string(netconf.ModeSubinterface), "a sub-interface carries one VLAN and no \"vlanTrunk\"", string(netconf.ModeFiltering))
	}
	link, err := m.namedUplink(spec.Uplink)
	if err != nil {
		return nil, err
	}
	if index := link.Attrs().MasterIndex; index != 0 {
		master, err := m.LinkByIndex(index)
		if err != nil {
			return nil, fmt.Errorf("uplink %s: its master: %w", spec.Uplink, err)
		}
		if kind := master.Type(); kind == "bond" || kind == "team" {
			return nil, configError("uplink", spec.Uplink, fmt.Sprintf("it is a part of %s (%s)", master.Attrs().Name, kind), master.Attrs().Name)
		}
	}
	return link, nil
}

// uncarried refuses to take a VLAN's frames from the filtering bridge that has
// them by now.
func (m maker) uncarried(parent netlink.Link, d device) error {
	index := parent.Attrs().MasterIndex
	if index == 0 {
		return nil
	}
	master, err := m.LinkByIndex(index)
	if err != nil || master.Type() != "bridge" {
		return err
	}
	info, err := m.Bridge(index)
	if err != nil || !info.VLANFiltering || info.ServiceVLANs != (d.proto == netlink.VLAN_PROTOCOL_8021AD) {
		return err
	}
	carries, err := table(m.Handle, parent.Attrs().Index)
	if err != nil || !carries.has[d.vid] {
		return err
	}
	bridge := master.Attrs().Name
	return configError("vlan", strconv.Itoa(int(d.vid)), fmt.Sprintf("%s carries that VLAN for bridge %s, which a sub-interface would cut off", parent.Attrs().Name, bridge),
		fmt.Sprintf("\"bridge\": %q with \"vlanMode\": %q; or another VLAN", bridge, netconf.ModeFiltering))
}

// adoptable refuses a sub-interface of which somebody makes another use.
func (m maker) adoptable(link netlink.Link, p Place) error {
	attrs := link.Attrs()
	allowed := fmt.Sprintf("another VLAN or uplink; or, where it is not needed so, ip addr flush dev %s", attrs.Name)
	what := fmt.Sprintf("VLAN %d of %s is %s already", p.VLAN, p.Parent, attrs.Name)
	if addr, err := m.address(attrs.Index); err != nil || addr != "" {
		return orConfigError(err, "uplink", attrs.Name, fmt.Sprintf("%s, which bears the node's address %s, and that would be cut off", what, addr), allowed)
	}
	if attrs.MasterIndex == 0 {
		return nil
	}
	master, err := m.LinkByIndex(attrs.MasterIndex)
	if err != nil {
		return fmt.Errorf("uplink %s: its master: %w", attrs.Name, err)
	}
	name := master.Attrs().Name
	if name == p.Bridge || name == temporary(p.Bridge, tempBridge) {
		return nil
	}
	return configError("uplink", attrs.Name, fmt.Sprintf("%s, which belongs to %s (%s)", what, name, master.Type()),
		fmt.Sprintf("\"bridge\": %q without \"vlan\", if that is a bridge; another VLAN or uplink; or ip link set %s nomaster", name, attrs.Name))
}

func orConfigError(err error, key, value, what, allowed string) error {
	if err != nil {
		return err
	}
	return configError(key, value, what, allowed)
}

// subinterface makes sure of the place's VLAN devices. The last is left down:
// the bridge that it joins sets it up.
func (m maker) subinterface(p Place) error {
	link, err := m.namedUplink(p.Parent)
	if err != nil {
		return err
	}
	for _, d := range tags(p) {
		// A VLAN device is up only where what it stands on is.
		if err := m.raiseUplink(link); err != nil {
			return err
		}
		if link, err = m.device(link, d); err != nil {
			return err
		}
	}
	if name := link.Attrs().Name; name != p.Uplink {
		return fmt.Errorf("uplink %s: VLAN %d of %s became %s meanwhile", p.Uplink, p.VLAN, p.Parent, name)
	}
	return nil
}
