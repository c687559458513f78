package daemon

import (
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// way is a NIC, and the tag there; no NIC: no link.
type way struct {
	nic string
	vid uint16
}

// wantNIC checks by which NIC a link's frames leave.
func wantNIC(t *testing.T, n *rtnltest.Netns, want map[string]way) {
	t.Helper()
	for name, w := range want {
		if nic, vid, known := nicOf(n.Handle, name); nic != w.nic || vid != w.vid || known != (w.nic != "") {
			t.Errorf("%s: %q, VLAN %d, known %t; wanted %+v", name, nic, vid, known, w)
		}
	}
}

func TestABridgesFramesLeaveByItsUplink(t *testing.T) {
	node := rtnltest.New(t)
	eth1 := node.Cable(t, "eth1", rtnltest.New(t), "lan0")
	must(t, node.SetMaster(eth1, node.Bridge(t, "br0")))
	node.Bridge(t, "br1")
	wantNIC(t, node, map[string]way{"eth1": {nic: "eth1"}, "br0": {nic: "eth1"}, "br1": {nic: "br1"}, "eth2": {}, "": {}})
}

func TestAVLANInterfacesFramesLeaveByItsNIC(t *testing.T) {
	rtnltest.NeedVLAN(t)
	node := rtnltest.New(t)
	eth1 := node.Cable(t, "eth1", rtnltest.New(t), "lan0")
	over := func(name string, parent, vid int, proto netlink.VlanProtocol) int {
		dev := &netlink.Vlan{LinkAttrs: netlink.NewLinkAttrs(), VlanId: vid, VlanProtocol: proto}
		dev.Name, dev.ParentIndex = name, parent
		must(t, node.Add(dev))
		return node.Up(t, name)
	}
	ten := over("eth1.10", eth1, 10, netlink.VlanProtocol(unix.ETH_P_8021Q))
	outer := over("eth1.100", eth1, 100, netlink.VlanProtocol(unix.ETH_P_8021AD))
	over("eth1.100.20", outer, 20, netlink.VlanProtocol(unix.ETH_P_8021Q))
	br := node.Bridge(t, "br0-10")
	must(t, node.SetMaster(ten, br))
	over("br0-10.5", br, 5, netlink.VlanProtocol(unix.ETH_P_8021Q))
	wantNIC(t, node, map[string]way{
		"eth1.10": {"eth1", 10}, "br0-10": {"eth1", 10},
		"eth1.100": {"eth1", 0}, "eth1.100.20": {"eth1", 0}, "br0-10.5": {"eth1", 0}, // not by one 802.1Q tag
	})
}

// Its parent is in another namespace, where other links bear the same numbers.
func TestAVLANInterfaceFromElsewhereIsItsOwnNIC(t *testing.T) {
	rtnltest.NeedVLAN(t)
	node, host := rtnltest.New(t), rtnltest.New(t)
	eth1 := host.Cable(t, "eth1", rtnltest.New(t), "lan0")
	dev := &netlink.Vlan{LinkAttrs: netlink.NewLinkAttrs(), VlanId: 10}
	dev.Name, dev.ParentIndex, dev.Namespace = "eth0", eth1, netlink.NsFd(node.Fd())
	must(t, host.Add(dev))
	wantNIC(t, node, map[string]way{"eth0": {nic: "eth0"}})
}
