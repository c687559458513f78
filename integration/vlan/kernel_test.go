package vlan_test

import (
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// What all other tests here stand on.
func TestTheKernelDoesVLANs(t *testing.T) {
	t.Parallel()
	rtnltest.NeedVLAN(t)
	n := rtnltest.New(t)
	filtering := true
	lan := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), VlanFiltering: &filtering}
	lan.Name = "lan0"
	if err := n.Add(lan); err != nil {
		t.Fatal(err)
	}
	for _, protocol := range []netlink.VlanProtocol{netlink.VLAN_PROTOCOL_8021Q, netlink.VLAN_PROTOCOL_8021AD} {
		vlan := &netlink.Vlan{LinkAttrs: netlink.NewLinkAttrs(), VlanId: 10, VlanProtocol: protocol}
		vlan.Name, vlan.ParentIndex = "lan0."+protocol.String(), n.Must(t, "lan0").Attrs().Index
		if err := n.Add(vlan); err != nil {
			t.Errorf("VLAN device of %s: %v", protocol, err)
		}
	}
}
