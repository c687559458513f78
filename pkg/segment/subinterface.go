package segment

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
)

// tagBytes is what a tag inside another takes from the MTU; the outermost is not
// part of it.
const tagBytes = 4

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
	return nil, m.unnamed(d)
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

// device is a VLAN device to be found or made.
type device struct {
	vid   uint16
	proto netlink.VlanProtocol
	// name is what it is called if Podlan makes it, temp until it is whole.
	name, temp string
	// what names it in fault points.
	what string
}

// tags are the place's VLAN devices, from the NIC up.
func tags(p Place) []device {
	single := device{vid: p.VLAN, proto: netlink.VLAN_PROTOCOL_8021Q, temp: temporary(p.Bridge, tempSub), what: "vlan"}
	if p.OuterVLAN == 0 {
		single.name = deviceName(p.Parent, p.VLAN)
		return []device{single}
	}
	single.name = innerName(p.Parent, p.OuterVLAN, p.VLAN)
	outer := device{
		vid: p.OuterVLAN, proto: netlink.VLAN_PROTOCOL_8021AD, what: "outer",
		name: deviceName(p.Parent, p.OuterVLAN), temp: temporary(p.Bridge, tempOuter),
	}
	return []device{outer, single}
}

// find returns the device on that link under whatever name, nil if none stands,
// and the names of those that a killed plugin left there, for this bridge or, of
// an 802.1ad device, for another.
func (m maker) find(parent netlink.Link, d device) (found netlink.Link, left []string, err error) {
	all, err := m.LinksOfKind("vlan")
	if err != nil {
		return nil, nil, err
	}
	for _, link := range all {
		vlan, ok := link.(*netlink.Vlan)
		switch {
		case !ok || !stands(vlan, parent.Attrs().Index, d.proto) || vlan.VlanId != int(d.vid):
		case reserved(vlan.Name):
			left = append(left, vlan.Name)
		default:
			found = link
		}
	}
	return found, left, nil
}

// stands tells whether the VLAN device is one of that link, which an index in
// another namespace does not say.
func stands(vlan *netlink.Vlan, parent int, proto netlink.VlanProtocol) bool {
	return vlan.ParentIndex == parent && vlan.NetNsID < 0 && vlan.VlanProtocol == proto
}

// unnamed refuses a device whose name another link bears.
func (m maker) unnamed(d device) error {
	link, err := m.Link(d.name)
	if errors.Is(err, rtnl.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return configError("vlan", strconv.Itoa(int(d.vid)), fmt.Sprintf("its sub-interface would be called %s, and another link is (%s)", d.name, describe(link)),
		"another VLAN or uplink; or that link under another name")
}

func describe(link netlink.Link) string {
	if vlan, ok := link.(*netlink.Vlan); ok {
		return fmt.Sprintf("VLAN %d, %s", vlan.VlanId, vlan.VlanProtocol)
	}
	return link.Type()
}

// uncarried refuses to take a VLAN's frames from the filtering bridge that has
// them by now.
func (m maker) uncarried(parent netlink.Link, d device) error {
	index := parent.Attrs().MasterIndex
	if index == 0 {
		return nil
	}
	info, err := m.Bridge(index)
	if err != nil || !info.VLANFiltering || info.ServiceVLANs != (d.proto == netlink.VLAN_PROTOCOL_8021AD) {
		return nil // no bridge, or none that knows these VLANs
	}
	have, err := table(m.Handle, parent.Attrs().Index)
	if err != nil || !have.has[d.vid] {
		return err
	}
	bridge, err := nameOf(m.Handle, index)
	if err != nil {
		return err
	}
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

// device finds the VLAN device or makes it. What a killed plugin left of one is
// in its way: the kernel allows no second.
func (m maker) device(parent netlink.Link, d device) (netlink.Link, error) {
	found, left, err := m.find(parent, d)
	if err != nil || found != nil {
		return found, err
	}
	if err := m.unnamed(d); err != nil {
		return nil, err
	}
	for _, name := range append(left, d.temp) {
		if err := m.Delete(name); err != nil {
			return nil, err
		}
	}
	if err := m.assembleDevice(parent, d); err != nil {
		return nil, errors.Join(err, m.Delete(d.temp))
	}
	return m.Link(d.name)
}

func (m maker) assembleDevice(parent netlink.Link, d device) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = d.temp, parent.Attrs().Index
	err := m.Add(&netlink.Vlan{LinkAttrs: attrs, VlanId: int(d.vid), VlanProtocol: d.proto})
	if err != nil {
		return refusedDevice(err, parent.Attrs().Name, d)
	}
	mtu := parent.Attrs().MTU
	if parent.Type() == "vlan" {
		mtu -= tagBytes
	}
	return m.finish(d.temp, d.name, d.what, mtu, alone)
}

// refusedDevice says in the configuration's words why the kernel makes no such
// device.
func refusedDevice(err error, parent string, d device) error {
	vid := strconv.Itoa(int(d.vid))
	switch {
	case errors.Is(err, unix.EEXIST):
		return configError("vlan", vid, fmt.Sprintf("the VLAN device of %s for it is in another network namespace", parent), "another VLAN or uplink, or that device removed")
	case errors.Is(err, unix.EOPNOTSUPP):
		return configError("vlan", vid, fmt.Sprintf("the kernel makes no VLAN device on %s: %v", parent, err),
			"a kernel with 802.1Q (modprobe 8021q), and an uplink that takes VLANs")
	}
	return err
}
