package daemon

import (
	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/segment"
)

// nicOf follows VLAN interfaces to what they stand on, and a bridge to its only
// way to the LAN, as far as that leads in this namespace. Not known: there is no
// such link.
func nicOf(h *rtnl.Handle, name string) (nic string, known bool) {
	link, err := h.Link(name)
	if err != nil {
		return "", false
	}
	const deepest = 8 // QinQ on a bridge on a VLAN interface is 4
	for range deepest {
		below := beneath(h, link)
		if below == nil {
			break
		}
		link = below
	}
	return link.Attrs().Name, true
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
