package lab

import (
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// AddVLANLink makes a VLAN device on a link of the namespace and sets it up. The
// protocol is ether.Dot1Q or ether.Dot1AD.
func (n *Netns) AddVLANLink(parent, name string, vid, protocol uint16) error {
	return n.WithLink(parent, func(h *netlink.Handle, link netlink.Link) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.ParentIndex = name, link.Attrs().Index
		vlan := &netlink.Vlan{LinkAttrs: attrs, VlanId: int(vid), VlanProtocol: netlink.VlanProtocol(protocol)}
		if err := h.LinkAdd(vlan); err != nil {
			return fmt.Errorf("VLAN device %s: %w", name, err)
		}
		return n.linkUp(name)
	})
}

// PortVLAN is an entry in the VLAN table of a bridge's port, or of the bridge
// itself.
type PortVLAN struct {
	VID            uint16
	PVID, Untagged bool
}

func (v PortVLAN) String() string {
	text := fmt.Sprint(v.VID)
	if v.PVID {
		text += " pvid"
	}
	if v.Untagged {
		text += " untagged"
	}
	return text
}

// VLANTable returns the entries of a port, or of a bridge itself, by VID.
func (n *Netns) VLANTable(name string) ([]PortVLAN, error) {
	var table []PortVLAN
	err := n.WithLink(name, func(h *netlink.Handle, link netlink.Link) error {
		tables, err := vlanTables(h)
		table = tables[link.Attrs().Index]
		return err
	})
	return table, err
}

func vlanTables(h *netlink.Handle) (map[int][]PortVLAN, error) {
	list, err := h.BridgeVlanList()
	if err != nil {
		return nil, fmt.Errorf("VLAN tables: %w", err)
	}
	tables := make(map[int][]PortVLAN, len(list))
	for index, entries := range list {
		for _, e := range entries {
			tables[int(index)] = append(tables[int(index)], PortVLAN{VID: e.Vid, PVID: e.PortVID(), Untagged: e.EngressUntag()})
		}
		slices.SortFunc(tables[int(index)], func(a, b PortVLAN) int { return int(a.VID) - int(b.VID) })
	}
	return tables, nil
}

// SetVLAN puts an entry into the VLAN table of a bridge's port or, with self, of
// the bridge itself.
func (n *Netns) SetVLAN(name string, v PortVLAN, self bool) error {
	return n.WithLink(name, func(h *netlink.Handle, link netlink.Link) error {
		if err := h.BridgeVlanAdd(link, v.VID, v.PVID, v.Untagged, self, !self); err != nil {
			return fmt.Errorf("VLAN %s: %w", v, err)
		}
		return nil
	})
}

// DropVLAN takes a VID out of the table.
func (n *Netns) DropVLAN(name string, vid uint16, self bool) error {
	return n.WithLink(name, func(h *netlink.Handle, link netlink.Link) error {
		if err := h.BridgeVlanDel(link, vid, false, false, self, !self); err != nil {
			return fmt.Errorf("VLAN %d: %w", vid, err)
		}
		return nil
	})
}

// tag describes a VLAN device for Link.
func tag(l netlink.Link, names map[int]string) string {
	v, ok := l.(*netlink.Vlan)
	if !ok {
		return ""
	}
	protocol := "802.1Q"
	if v.VlanProtocol == unix.ETH_P_8021AD {
		protocol = "802.1ad"
	}
	return fmt.Sprintf("%s %d on %s", protocol, v.VlanId, names[v.ParentIndex])
}

// AddBridge makes a bridge as an administrator does.
func (n *Netns) AddBridge(name string, filtering bool) error {
	return n.addBridge(bridgeSpec{name: name, snooping: true, filtering: filtering})
}

// Enslave makes a link a port of a bridge.
func (n *Netns) Enslave(port, bridge string) error { return n.enslave(port, bridge) }

// AddNIC plugs another NIC of the node's into the switch.
func (n *Node) AddNIC(name string) error {
	_, err := n.lab.sw.plug(n.Netns, name, nil, 0)
	return err
}
