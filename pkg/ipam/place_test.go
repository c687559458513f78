package ipam

import (
	"context"
	"net"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// place is a node with br0 on eth1, br1 without a port, and a Pod whose eth0 is a
// veth, with its other end in br2.
func place(t *testing.T) (node, pod *rtnltest.Netns) {
	t.Helper()
	node, pod = rtnltest.New(t), rtnltest.New(t)
	lan := rtnltest.New(t)
	node.Cable(t, "eth1", lan, "port1")
	br0 := node.Bridge(t, "br0")
	addr, err := netlink.ParseAddr("203.0.113.7/24")
	must(t, err)
	must(t, node.AddAddr(br0, addr))
	node.Bridge(t, "br1")
	must(t, node.SetMaster(node.Must(t, "eth1").Attrs().Index, br0))
	pod.Cable(t, "eth0", node, "vethx")
	must(t, node.SetMaster(node.Must(t, "vethx").Attrs().Index, node.Bridge(t, "br2")))
	return node, pod
}

// child makes a link of a parent of the node's and moves it into the Pod.
func child(t *testing.T, node, pod *rtnltest.Netns, link netlink.Link) {
	t.Helper()
	attrs := link.Attrs()
	attrs.ParentIndex = node.Must(t, "parent0").Attrs().Index
	attrs.Namespace = netlink.NsFd(pod.Fd())
	must(t, node.Add(link))
}

func TestARequestFromForeignMainPlugins(t *testing.T) {
	node, pod := place(t)
	node.Cable(t, "parent0", rtnltest.New(t), "there0")
	macvlan := netlink.NewLinkAttrs()
	macvlan.Name = "net1"
	child(t, node, pod, &netlink.Macvlan{LinkAttrs: macvlan, Mode: netlink.MACVLAN_MODE_BRIDGE})
	within := netlink.NewLinkAttrs()
	within.Name, within.ParentIndex = "net2", pod.Must(t, "eth0").Attrs().Index
	must(t, pod.Add(&netlink.Macvlan{LinkAttrs: within, Mode: netlink.MACVLAN_MODE_BRIDGE}))
	cases := map[string]struct {
		conf   object
		ifName string
		from   leaseapi.Transport
		uplink string
		bridge string
	}{
		"the reference bridge":     {object{"type": "bridge", "bridge": "br0"}, "eth0", leaseapi.FromUplink, "eth1", "br0"},
		"one without an uplink":    {object{"type": "bridge", "bridge": "br1"}, "eth0", leaseapi.FromPod, "", "br1"},
		"a VLAN it cannot filter":  {object{"type": "bridge", "bridge": "br0", "vlan": 20}, "eth0", leaseapi.FromUplink, "eth1", "br0"},
		"its only port the Pod's":  {object{"type": "bridge", "bridge": "br2"}, "eth0", leaseapi.FromPod, "", "br2"},
		"one that says its uplink": {object{"type": "bridge", "bridge": "br1", "uplink": "eth1"}, "eth0", leaseapi.FromUplink, "eth1", "br1"},
		"told to, from the Pod":    {object{"type": "bridge", "bridge": "br0", "dhcpFrom": "pod"}, "eth0", leaseapi.FromPod, "", "br0"},
		"told to, from the uplink": {object{"type": "bridge", "bridge": "br0", "dhcpFrom": "uplink"}, "eth0", leaseapi.FromUplink, "eth1", "br0"},
		"macvlan with its master":  {object{"type": "macvlan", "master": "parent0"}, "net1", leaseapi.FromUplink, "parent0", ""},
		"macvlan that tells none":  {object{"type": "macvlan"}, "net1", leaseapi.FromUplink, "parent0", ""},
		"macvlan within the Pod":   {object{"type": "macvlan", "master": "eth1"}, "net2", leaseapi.FromPod, "", ""},
		"a VLAN nobody knows how":  {object{"type": "odd", "uplink": "eth1", "vlan": 20}, "eth0", leaseapi.FromPod, "", ""},
		"a plugin nobody knows":    {object{"type": "odd"}, "eth0", leaseapi.FromPod, "", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := foreign(t, node, pod, c.conf, c.ifName)
			must(t, err)
			mac := pod.Must(t, c.ifName).Attrs().HardwareAddr.String()
			if diff := cmp.Diff([]string{"203.0.113.0/24"}, networks(got)); diff != "" {
				t.Errorf("protected (-want +got):\n%s", diff)
			}
			if got.VLAN != 0 || got.Untagged || got.Transport != c.from || got.Uplink != c.uplink || got.Bridge != c.bridge || got.MAC != mac ||
				got.Confirm != leaseapi.ByAddress || got.Netns != pod.Path {
				t.Errorf("got %+v; want MAC %s", got, mac)
			}
		})
	}
}

func TestWhatCannotBeAskedForIsRefused(t *testing.T) {
	node, pod := place(t)
	cases := map[string]struct {
		conf   object
		ifName string
		netns  string
		code   uint
		words  []string
	}{
		"an interface yet to come": {object{"type": "ptp"}, "eth9", "", types.ErrInvalidNetworkConfig, []string{`"eth9"`, "not in the Pod yet", "macvlan"}},
		"no namespace":             {object{"type": "bridge"}, "eth0", "/gone", types.ErrInvalidEnvironmentVariables, []string{"CNI_NETNS", "/gone"}},
		"the uplink of a VLAN nobody knows how": {
			object{"type": "odd", "uplink": "eth1", "vlan": 20, "dhcpFrom": "uplink"},
			"eth0", "",
			types.ErrInvalidNetworkConfig,
			[]string{"ipam.dhcpFrom", `"uplink"`, `"odd"`, "20", "pod, or auto"},
		},
		"the uplink of a bridge that has none": {
			object{"type": "bridge", "bridge": "br1", "dhcpFrom": "uplink"},
			"eth0", "",
			types.ErrInvalidNetworkConfig,
			[]string{"ipam.dhcpFrom", `"br1"`, "pod, or auto"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			there := *pod
			if c.netns != "" {
				there.Path = c.netns
			}
			_, err := foreign(t, node, &there, c.conf, c.ifName)
			said(t, err, c.code, c.words...)
		})
	}
}

// foreign is the request for a main plugin's conf, made in the node's
// namespace. Its dhcpFrom is the IPAM plugin's.
func foreign(t *testing.T, node, pod *rtnltest.Netns, conf object, ifName string) (leaseapi.Request, error) {
	t.Helper()
	s := down(t)
	change := object{"podlan": nil, "bridge": nil, "ipam": object{"type": "podlan-dhcp"}}
	for key, value := range conf {
		if key == "dhcpFrom" {
			change["ipam"] = object{"type": "podlan-dhcp", key: value}
			continue
		}
		change[key] = value
	}
	args := s.args(t, change)
	args.Netns, args.IfName = pod.Path, ifName
	var got leaseapi.Request
	err := node.Do(func() (err error) {
		got, err = built(t, s, args)
		return err
	})
	return got, err
}

func TestOnlyAnInterfaceToBeSpokenFromIsSetUp(t *testing.T) {
	node, pod := place(t)
	for name, c := range map[string]struct {
		conf object
		up   bool
	}{
		"from the Pod":    {object{"type": "bridge", "bridge": "br2"}, true},
		"from the uplink": {object{"type": "bridge", "bridge": "br0"}, false}, // the main plugin's to do
	} {
		must(t, pod.SetDown(pod.Must(t, "eth0").Attrs().Index))
		_, err := foreign(t, node, pod, c.conf, "eth0")
		must(t, err)
		if up := pod.Must(t, "eth0").Attrs().Flags&net.FlagUp != 0; up != c.up {
			t.Errorf("%s: up is %t", name, up)
		}
	}
}

func TestAnInterfaceIsWaitedForUntilItForwards(t *testing.T) {
	node, pod := place(t)
	must(t, pod.SetDown(pod.Must(t, "eth0").Attrs().Index))
	args := &skel.CmdArgs{Netns: pod.Path, IfName: "eth0"}
	end, err := findEnd(args)
	must(t, err)
	must(t, raise(t.Context(), node.Handle, args, end))
	if state, err := node.PortState(node.Must(t, "vethx").Attrs().Index); err != nil || state != rtnl.PortForwarding {
		t.Errorf("the port's state is %d, %v", state, err)
	}

	// What does not come is not waited for longer than there is time.
	must(t, node.SetDown(node.Must(t, "vethx").Attrs().Index))
	over, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, raise(over, node.Handle, args, end))
}
