package leg_test

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
	"github.com/podlan/podlan/pkg/segment"
)

// tagged is apart with the Pod in VLAN 20 of a bridge that filters.
func tagged(t *testing.T) *place {
	t.Helper()
	rtnltest.NeedVLAN(t)
	node, filtering := rtnltest.New(t), true
	br := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), VlanFiltering: &filtering}
	br.Name = "lan0"
	must(t, node.Add(br))
	node.Up(t, "lan0")
	p := inOtherNetwork(t, node)
	must(t, p.routes.Remove(t.Context(), p.leg, none))
	bridge, port := p.node.Must(t, "lan0").Attrs().Index, p.node.Must(t, p.leg.Port).Attrs().Index
	own, vlan := rtnl.VLANRange{First: 1, Last: 1}, rtnl.VLANRange{First: 20, Last: 20}
	must(t, p.node.DelVLAN(port, own, false))
	must(t, p.node.AddVLAN(port, vlan, rtnl.VLANFlags{PVID: true, Untagged: true}, false))
	must(t, p.node.AddVLAN(bridge, vlan, rtnl.VLANFlags{}, true))
	dev, err := segment.VLANDevice(t.Context(), p.node.Handle, "lan0", 20)
	must(t, err)
	p.leg.Device, p.side.LegMAC = dev.Name, dev.MAC
	p.side.PortMAC = p.node.Must(t, p.leg.Port).Attrs().HardwareAddr
	return p
}

// TestNodeAndPodOfAnotherVLANReachEachOther: over the VLAN's own device, without
// an address; the node's address on a NIC, or on the bridge itself.
func TestNodeAndPodOfAnotherVLANReachEachOther(t *testing.T) {
	for name, link := range map[string]string{"by a NIC": "eth0", "on the bridge itself": "lan0"} {
		for _, filter := range []string{"0", "1", "2"} {
			t.Run(name+", rp_filter "+filter, func(t *testing.T) {
				p := tagged(t)
				if link == "lan0" {
					nic := p.node.Must(t, "eth0").Attrs().Index
					must(t, p.node.SetDown(nic))
					must(t, p.node.DelAddr(nic, &netlink.Addr{IPNet: rtnl.IPNet(netip.MustParsePrefix(nodeAddr + "/24"))}))
					p.node.Address(t, "lan0", nodeAddr+"/24")
				}
				addrs, err := leg.NodeAddrs(p.node.Handle, p.leg)
				must(t, err)
				p.side.NodeAddrs = addrs
				must(t, p.routes.Add(t.Context(), p.leg, none))
				must(t, p.configure(t))
				p.filter(t, p.node, filter)
				p.filter(t, p.pod, filter)
				wantTalk(t, "a probe", p.node, p.pod, podAddr+":80", podAddr+":80", nodeAddr)
				wantTalk(t, "a service of the node", p.pod, p.node, nodeAddr+":53", nodeAddr+":53", podAddr)
				must(t, p.routes.Check(t.Context(), p.leg))
			})
		}
	}
}
