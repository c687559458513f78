package attach

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/segment"
)

// verifySegment returns nil if the way from the bridge to the LAN is as ADD left
// it, else an error of code 105 that names the first difference.
func (n *node) verifySegment(rec attachment.Record, bridge netlink.Link) error {
	if err := n.verifyUplink(rec, bridge.Attrs()); err != nil {
		return changed("uplink "+rec.Uplink+" is not as ADD left it", err.Error())
	}
	if !rec.Filtering {
		return nil
	}
	missing, err := segment.Missing(n.links, rec.Place())
	switch {
	case err != nil:
		return changed("the VLAN tables are not as ADD left them", err.Error())
	case len(missing.Uplink) > 0:
		return changed("uplink "+rec.Uplink+" is not as ADD left it", lacks(missing.Uplink))
	case len(missing.Bridge) > 0:
		return changed("bridge "+rec.Bridge+" is not as ADD left it", lacks(missing.Bridge))
	}
	return nil
}

func lacks(vlans []netconf.VLANRange) string {
	return fmt.Sprintf("its VLAN table lacks %v", vlans)
}

func (n *node) verifyUplink(rec attachment.Record, bridge *netlink.LinkAttrs) error {
	if rec.Uplink == "" {
		return nil
	}
	uplink, err := n.links.Link(rec.Uplink)
	if err != nil {
		return err
	}
	attrs := uplink.Attrs()
	if attrs.MasterIndex != bridge.Index {
		return fmt.Errorf("it is no port of %s (its master is link %d)", bridge.Name, attrs.MasterIndex)
	}
	if rec.Parent == "" {
		return nil
	}
	// The bridge's would follow the sub-interface's, that of a port does not.
	if port, err := n.links.Link(rec.HostEnd); err == nil && attrs.MTU < port.Attrs().MTU {
		return fmt.Errorf("its MTU is %d, and that of the Pod's port %d", attrs.MTU, port.Attrs().MTU)
	}
	return n.verifyTags(rec, uplink)
}

// tag is one that a sub-interface puts on.
type tag struct {
	protocol netlink.VlanProtocol
	vid      uint16
}

// verifyTags follows the sub-interface down to the link that it stands on.
func (n *node) verifyTags(rec attachment.Record, link netlink.Link) error {
	tags := []tag{{netlink.VLAN_PROTOCOL_8021Q, rec.VLAN}}
	if rec.OuterVLAN != 0 {
		tags = append(tags, tag{netlink.VLAN_PROTOCOL_8021AD, rec.OuterVLAN})
	}
	for _, want := range tags {
		vlan, ok := link.(*netlink.Vlan)
		if !ok {
			return fmt.Errorf("%s is a %s, not a VLAN device", link.Attrs().Name, link.Type())
		}
		if is := (tag{vlan.VlanProtocol, uint16(vlan.VlanId)}); is != want {
			return fmt.Errorf("the tag of %s is %s %d, not %s %d", vlan.Name, is.protocol, is.vid, want.protocol, want.vid)
		}
		below, err := n.links.LinkByIndex(vlan.ParentIndex)
		if err != nil {
			return fmt.Errorf("what %s stands on: %w", vlan.Name, err)
		}
		link = below
	}
	if name := link.Attrs().Name; name != rec.Parent {
		return errors.New("it stands on " + name + ", not on " + rec.Parent)
	}
	return nil
}
