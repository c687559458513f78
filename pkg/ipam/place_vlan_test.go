package ipam

import (
	"encoding/binary"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// filteringPlace is a node whose br0 tells VLANs apart, with eth1 and the host end
// of the Pod's eth0 in it. Both are veths, so confs have to name the uplink.
func filteringPlace(t *testing.T) (node, pod *rtnltest.Netns) {
	t.Helper()
	rtnltest.NeedVLAN(t)
	node, pod = rtnltest.New(t), rtnltest.New(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br0"
	filtering := true
	must(t, node.Add(&netlink.Bridge{LinkAttrs: attrs, VlanFiltering: &filtering}))
	br0 := node.Up(t, "br0")
	must(t, node.SetMaster(node.Cable(t, "eth1", rtnltest.New(t), "port1"), br0))
	pod.Cable(t, "eth0", node, "vethx")
	must(t, node.SetMaster(node.Must(t, "vethx").Attrs().Index, br0))
	return node, pod
}

func TestTheReferenceBridgesVLANIsServedAsTheUplinkCarriesIt(t *testing.T) {
	const tagged, untagged = 20, 30 // 40: neither
	cases := map[string]struct {
		conf object
		want leaseapi.Request
	}{
		"tagged":             {object{"vlan": tagged}, leaseapi.Request{Transport: leaseapi.FromUplink, Uplink: "eth1", VLAN: 20}},
		"of the bridge too":  {object{"vlan": untagged}, leaseapi.Request{Transport: leaseapi.FromUplink, Uplink: "eth1", Bridge: "br0", VLAN: 30, Untagged: true}},
		"not carried":        {object{"vlan": 40}, leaseapi.Request{Transport: leaseapi.FromPod, Bridge: "br0", VLAN: 40}},
		"none":               {object{"vlan": 0}, leaseapi.Request{Transport: leaseapi.FromUplink, Uplink: "eth1", Bridge: "br0"}},
		"told from the Pod":  {object{"vlan": tagged, "dhcpFrom": "pod"}, leaseapi.Request{Transport: leaseapi.FromPod, Bridge: "br0", VLAN: 20}},
		"told by the uplink": {object{"vlan": tagged, "dhcpFrom": "uplink"}, leaseapi.Request{Transport: leaseapi.FromUplink, Uplink: "eth1", VLAN: 20}},
	}
	node, pod := filteringPlace(t)
	eth1, br0 := node.Must(t, "eth1").Attrs().Index, node.Must(t, "br0").Attrs().Index
	must(t, node.AddVLAN(eth1, rtnl.VLANRange{First: tagged, Last: tagged}, rtnl.VLANFlags{}, false))
	must(t, node.AddVLAN(eth1, rtnl.VLANRange{First: untagged, Last: untagged}, rtnl.VLANFlags{Untagged: true}, false))
	must(t, node.AddVLAN(br0, rtnl.VLANRange{First: untagged, Last: untagged}, rtnl.VLANFlags{}, true))
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.conf["type"], c.conf["bridge"], c.conf["uplink"] = "bridge", "br0", "eth1"
			got, err := foreign(t, node, pod, c.conf, "eth0")
			must(t, err)
			same(t, c.want, got)
		})
	}
	got, err := foreign(t, node, pod, object{"type": "bridge", "bridge": "br0", "vlan": tagged}, "eth0")
	must(t, err)
	same(t, leaseapi.Request{Transport: leaseapi.FromPod, Bridge: "br0", VLAN: tagged}, got) // eth1 or vethx
	_, err = foreign(t, node, pod, object{"type": "bridge", "bridge": "br0", "uplink": "eth1", "vlan": 40, "dhcpFrom": "uplink"}, "eth0")
	said(t, err, types.ErrInvalidNetworkConfig, "eth1", "40")
}

// same compares what tells the segment.
func same(t *testing.T, want, got leaseapi.Request) {
	t.Helper()
	if got.Transport != want.Transport || got.Uplink != want.Uplink || got.Bridge != want.Bridge || got.VLAN != want.VLAN || got.Untagged != want.Untagged {
		t.Errorf("got %s from %q, bridge %q, VLAN %d, untagged %t; want %s from %q, bridge %q, VLAN %d, untagged %t",
			got.Transport, got.Uplink, got.Bridge, got.VLAN, got.Untagged, want.Transport, want.Uplink, want.Bridge, want.VLAN, want.Untagged)
	}
}

func TestABridgeOf8021adIsServedFromThePod(t *testing.T) {
	node, pod := filteringPlace(t)
	serviceVLANs(t, node, "br0")
	eth1 := node.Must(t, "eth1").Attrs().Index
	must(t, node.AddVLAN(eth1, rtnl.VLANRange{First: 20, Last: 20}, rtnl.VLANFlags{}, false))
	conf := object{"type": "bridge", "bridge": "br0", "uplink": "eth1", "vlan": 20}
	got, err := foreign(t, node, pod, conf, "eth0")
	must(t, err)
	same(t, leaseapi.Request{Transport: leaseapi.FromPod, Bridge: "br0"}, got)
	conf["dhcpFrom"] = "uplink"
	_, err = foreign(t, node, pod, conf, "eth0")
	said(t, err, types.ErrInvalidNetworkConfig, "br0", "802.1ad")
}

// serviceVLANs makes a bridge's VLANs those of 802.1ad (vlan_protocol).
func serviceVLANs(t *testing.T, node *rtnltest.Netns, bridge string) {
	t.Helper()
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(node.Must(t, bridge).Attrs().Index)
	req.AddData(msg)
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	protocol := binary.BigEndian.AppendUint16(nil, unix.ETH_P_8021AD)
	info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.IFLA_BR_VLAN_PROTOCOL, protocol)
	req.AddData(info)
	must(t, node.Do(func() error {
		_, err := req.Execute(unix.NETLINK_ROUTE, 0)
		return err
	}))
}

func TestALinkOnAVLANIsServedFromWhatItStandsOn(t *testing.T) {
	rtnltest.NeedVLAN(t)
	node, pod := place(t)
	parent := node.Cable(t, "parent0", rtnltest.New(t), "there0")
	named := func(name string) netlink.LinkAttrs {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		return attrs
	}
	child(t, node, pod, &netlink.Vlan{LinkAttrs: named("net1"), VlanId: 20})
	child(t, node, pod, &netlink.Vlan{LinkAttrs: named("net2"), VlanId: 20, VlanProtocol: netlink.VLAN_PROTOCOL_8021AD})
	ten := named("parent0.10")
	ten.ParentIndex = parent
	must(t, node.Add(&netlink.Vlan{LinkAttrs: ten, VlanId: 10}))
	over := named("net3")
	over.ParentIndex, over.Namespace = node.Up(t, "parent0.10"), netlink.NsFd(pod.Fd())
	must(t, node.Add(&netlink.Macvlan{LinkAttrs: over, Mode: netlink.MACVLAN_MODE_BRIDGE}))
	inner := named("net4")
	inner.ParentIndex = pod.Must(t, "eth0").Attrs().Index
	must(t, pod.Add(&netlink.Vlan{LinkAttrs: inner, VlanId: 20}))

	uplink := func(name string, vid uint16) leaseapi.Request {
		return leaseapi.Request{Transport: leaseapi.FromUplink, Uplink: name, VLAN: vid}
	}
	fromPod := leaseapi.Request{Transport: leaseapi.FromPod}
	cases := map[string]struct {
		conf   object
		ifName string
		want   leaseapi.Request
	}{
		"vlan":                    {object{"type": "vlan", "master": "parent0", "vlanId": 20}, "net1", uplink("parent0", 20)},
		"vlan that tells nothing": {object{"type": "vlan"}, "net1", uplink("parent0", 20)},
		"vlan, from the Pod":      {object{"type": "vlan", "master": "parent0", "vlanId": 20, "dhcpFrom": "pod"}, "net1", fromPod},
		"vlan of 802.1ad":         {object{"type": "vlan", "master": "parent0", "vlanId": 20}, "net2", fromPod},
		"macvlan on a VLAN":       {object{"type": "macvlan", "master": "parent0.10"}, "net3", uplink("parent0.10", 0)},
		"macvlan, untold":         {object{"type": "macvlan"}, "net3", uplink("parent0.10", 0)},
		"vlan within the Pod":     {object{"type": "vlan", "master": "eth0", "vlanId": 20}, "net4", fromPod},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := foreign(t, node, pod, c.conf, c.ifName)
			must(t, err)
			same(t, c.want, got)
		})
	}
	_, err := foreign(t, node, pod, object{"type": "vlan", "vlanId": 20, "dhcpFrom": "uplink"}, "net4")
	said(t, err, types.ErrInvalidNetworkConfig, "ipam.dhcpFrom", "linkInContainer")
}
