package segment

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
)

// tagBytes is what a tag inside another takes from the MTU; the outermost is not
// part of it.
const tagBytes = 4

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
		switch name := link.Attrs().Name; {
		case !d.is(link, parent):
		case reserved(name):
			left = append(left, name)
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

// unnamed refuses a device whose name another link bears. The parent is nil if
// it is not made yet.
func (m maker) unnamed(parent netlink.Link, d device) error {
	link, err := m.Link(d.name)
	if errors.Is(err, rtnl.ErrNotFound) || err == nil && d.is(link, parent) {
		return nil // or has come since somebody looked for it
	}
	if err != nil {
		return err
	}
	return configError("vlan", strconv.Itoa(int(d.vid)), fmt.Sprintf("its sub-interface would be called %s, and another link is (%s)", d.name, describe(link)),
		"another VLAN or uplink; or that link under another name")
}

// is tells whether the link is the device.
func (d device) is(link, parent netlink.Link) bool {
	vlan, ok := link.(*netlink.Vlan)
	if !ok || vlan.VlanId != int(d.vid) {
		return false
	}
	if parent == nil {
		return vlan.VlanProtocol == d.proto && vlan.Alias == Alias(d.name)
	}
	return stands(vlan, parent.Attrs().Index, d.proto)
}

func describe(link netlink.Link) string {
	if vlan, ok := link.(*netlink.Vlan); ok {
		return fmt.Sprintf("VLAN %d, %s", vlan.VlanId, vlan.VlanProtocol)
	}
	return link.Type()
}

// device finds the VLAN device or makes it. What a killed plugin left of one is
// in its way: the kernel allows no second.
func (m maker) device(parent netlink.Link, d device) (netlink.Link, error) {
	found, left, err := m.find(parent, d)
	if err != nil || found != nil {
		return found, err
	}
	if err := m.unnamed(parent, d); err != nil {
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
