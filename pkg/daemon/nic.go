package daemon

import (
	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/segment"
)

// nicOf follows VLAN interfaces to what they stand on, and a bridge to its only
// way to the LAN, as far as that leads in this namespace. There the frames bear
// that 802.1Q tag; 0: none, or others too. Not known: there is no such link.
func nicOf(h *rtnl.Handle, name string) (nic string, vid uint16, known bool) {
	link, err := h.Link(name)
	if err != nil {
		return "", 0, false
	}
	tags := 0
	const deepest = 8 // QinQ on a bridge on a VLAN interface is 4
	for range deepest {
		below := beneath(h, link)
		if below == nil {
			break
		}
		if v, ok := link.(*netlink.Vlan); ok {
			tags++
			if vid = uint16(v.VlanId); v.VlanProtocol != netlink.VLAN_PROTOCOL_8021Q {
				tags++
			}
		}
		link = below
	}
	if tags != 1 {
		vid = 0
	}
	return link.Attrs().Name, vid, true
}

// beneath is nil where there is nothing, or no telling.
func beneath(h *rtnl.Handle, link netlink.Link) netlink.Link {
	attrs := link.Attrs()
	switch {
	case link.Type() == "vlan" && attrs.NetNsID < 0:
		if below, err := h.LinkByIndex(attrs.ParentIndex); err == nil {
			return below
		}
	case link.Type() == "bridge":
		uplink, err := segment.FindUplink(h, attrs.Name, "")
		if err != nil || uplink == "" {
			return nil
		}
		if below, err := h.Link(uplink); err == nil {
			return below
		}
	}
	return nil
}
