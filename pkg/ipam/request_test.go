package ipam

import (
	"context"
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/identity"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// built is the request for a conf, in a budget of a minute.
func built(t *testing.T, s *setup, args *skel.CmdArgs) (leaseapi.Request, error) {
	t.Helper()
	_ = s
	conf, err := netconf.ParseDHCP(args.StdinData, args.Args)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return request(ctx, conf, args)
}

func TestARequestFromPodlanBridge(t *testing.T) {
	id := identity.Attachment("lan", "eth0", "", "c1").ClientID()
	pod := identity.Attachment("lan", "eth0", "uid-1", "c1").ClientID()
	want := leaseapi.Request{
		ClientID: id, MAC: "02:00:00:00:00:01", Transport: leaseapi.FromUplink, Uplink: "eth1", Bridge: "br0",
		Netns: "/run/netns/p1", Confirm: leaseapi.ByRecord, BudgetMS: 5000, ParameterRequest: []byte{121, 1, 3, 33, 6, 15, 119, 26},
		Conflict: leaseapi.ConflictOptimistic, WhenLost: leaseapi.Withdraw,
	}
	ipam := func(keys object) object {
		all := object{"type": "podlan-dhcp"}
		maps.Copy(all, keys)
		return object{"ipam": all}
	}
	cases := map[string]struct {
		change object
		args   string
		want   func(*leaseapi.Request)
	}{
		"over the uplink": {nil, "", func(*leaseapi.Request) {}},
		"from the Pod": {
			object{"podlan": object{"mac": "02:00:00:00:00:01", "bridge": "br0", "from": "pod", "budgetMS": 9}},
			"",
			func(r *leaseapi.Request) { r.Transport, r.Uplink, r.BudgetMS = leaseapi.FromPod, "", 9 },
		},
		"of a Kubernetes Pod": {
			nil, "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_UID=uid-1",
			func(r *leaseapi.Request) { r.ClientID, r.Pod = pod, "default/web" },
		},
		"with options": {
			ipam(object{"provide": []object{
				{"option": "host-name", "fromArg": "K8S_POD_NAME"},
				{"option": "77", "value": "blue"},
				{"option": "dhcp-client-identifier", "value": "\x00me"},
			}}), "K8S_POD_NAME=web",
			func(r *leaseapi.Request) {
				r.Send = map[uint8]leaseapi.HexBytes{12: []byte("web"), 77: []byte("blue")}
				r.ClientID, r.Pod = []byte("\x00me"), "/web"
			},
		},
		"on a node with networks": {
			object{
				"podlan":       object{"mac": "02:00:00:00:00:01", "bridge": "br0", "uplink": "eth1", "from": "uplink", "budgetMS": 5000, "networks": []string{"192.0.2.0/24"}},
				"serviceCIDRs": []string{"10.96.0.0/12"},
			},
			"",
			func(r *leaseapi.Request) {
				r.Protected = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("192.0.2.0/24")}
			},
		},
		"with questions": {
			ipam(object{"request": []object{{"option": "42", "skipDefault": true}}}), "",
			func(r *leaseapi.Request) { r.ParameterRequest = []byte{42} },
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := down(t)
			args := s.args(t, c.change)
			args.Args = c.args
			got, err := built(t, s, args)
			want := want
			c.want(&want)
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func networks(req leaseapi.Request) (protected []string) {
	for _, p := range req.Protected {
		protected = append(protected, p.String())
	}
	return protected
}

// place is a node with br0 on eth1, br1 without an uplink, and a Pod whose eth0
// is a veth.
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
	cases := map[string]struct {
		conf   object
		ifName string
		from   leaseapi.Transport
		uplink string
		bridge string
	}{
		"the reference bridge":     {object{"type": "bridge", "bridge": "br0"}, "eth0", leaseapi.FromUplink, "eth1", "br0"},
		"one without an uplink":    {object{"type": "bridge", "bridge": "br1"}, "eth0", leaseapi.FromPod, "", "br1"},
		"one with a VLAN":          {object{"type": "bridge", "bridge": "br0", "vlan": 20}, "eth0", leaseapi.FromPod, "", "br0"},
		"one that says its uplink": {object{"type": "bridge", "bridge": "br1", "uplink": "eth1"}, "eth0", leaseapi.FromUplink, "eth1", "br1"},
		"told to, from the Pod":    {object{"type": "bridge", "bridge": "br0", "dhcpFrom": "pod"}, "eth0", leaseapi.FromPod, "", "br0"},
		"told to, from the uplink": {object{"type": "bridge", "bridge": "br0", "dhcpFrom": "uplink"}, "eth0", leaseapi.FromUplink, "eth1", "br0"},
		"macvlan with its master":  {object{"type": "macvlan", "master": "parent0"}, "net1", leaseapi.FromUplink, "parent0", ""},
		"macvlan that tells none":  {object{"type": "macvlan"}, "net1", leaseapi.FromUplink, "parent0", ""},
		"vlan":                     {object{"type": "vlan", "master": "parent0", "vlanId": 20}, "net1", leaseapi.FromPod, "", ""},
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
			if got.Transport != c.from || got.Uplink != c.uplink || got.Bridge != c.bridge || got.MAC != mac ||
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
		"the uplink of a VLAN": {
			object{"type": "bridge", "bridge": "br0", "vlan": 20, "dhcpFrom": "uplink"},
			"eth0", "",
			types.ErrInvalidNetworkConfig,
			[]string{"ipam.dhcpFrom", `"uplink"`, "untagged"},
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
