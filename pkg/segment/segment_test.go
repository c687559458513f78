package segment

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// newNode is a node with a NIC, nic0, that leads to a switch.
func newNode(t *testing.T) *rtnltest.Netns {
	t.Helper()
	node, sw := rtnltest.New(t), rtnltest.New(t)
	node.Cable(t, "nic0", sw, "port0")
	return node
}

func mustEnsure(t *testing.T, n *rtnltest.Netns, spec Spec) Segment {
	t.Helper()
	place, err := Resolve(t.Context(), n.Handle, spec)
	must(t, err)
	seg, err := Ensure(t.Context(), n.Handle, spec, place)
	if err != nil {
		t.Fatal(err)
	}
	return seg
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// state is what Podlan must not alter of a link of others.
type state struct {
	MAC, Alias string
	MTU        int
	Flags      net.Flags
	Promisc    int
	Addrs      []string
	Sysctls    map[string]string
}

func stateOf(t *testing.T, n *rtnltest.Netns, name string) state {
	t.Helper()
	attrs := n.Must(t, name).Attrs()
	s := state{
		MAC: attrs.HardwareAddr.String(), Alias: attrs.Alias, MTU: attrs.MTU,
		// Carrier is told later, and link-local addresses come when their check is done.
		Flags: attrs.Flags &^ net.FlagRunning, Promisc: attrs.Promisc, Sysctls: map[string]string{},
	}
	addrs, err := n.Addrs(attrs.Index)
	must(t, err)
	for _, a := range addrs {
		if text := a.IPNet.String(); !linkLocal(text) {
			s.Addrs = append(s.Addrs, text)
		}
	}
	for _, path := range []string{"ipv6/conf/%/accept_ra", "ipv6/conf/%/disable_ipv6", "ipv4/conf/%/arp_ignore"} {
		path = strings.Replace(path, "%", name, 1)
		s.Sysctls[path] = n.Sysctl(t, "net/"+path)
	}
	return s
}

func TestABridgeOfOthersIsUsedAsItStands(t *testing.T) {
	n := newNode(t)
	index := n.Bridge(t, "lan0")
	must(t, n.SetMaster(n.Must(t, "nic0").Attrs().Index, index))
	n.Address(t, "lan0", "198.18.0.3/16")
	before := stateOf(t, n, "lan0")
	for _, uplink := range []string{"", "nic0"} {
		got := mustEnsure(t, n, Spec{Bridge: "lan0", Uplink: uplink, MTU: 1400})
		attrs := n.Must(t, "lan0").Attrs()
		want := Segment{Bridge: "lan0", Index: index, MAC: attrs.HardwareAddr, MTU: attrs.MTU, Uplink: uplink}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("segment (-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff(before, stateOf(t, n, "lan0")); diff != "" {
		t.Errorf("the bridge was altered (-before +after):\n%s", diff)
	}
}

func TestAMissingBridgeIsMadeOverItsUplink(t *testing.T) {
	n := newNode(t)
	must(t, n.SetMTU(n.Must(t, "nic0").Attrs().Index, 1400))
	must(t, n.SetDown(n.Must(t, "nic0").Attrs().Index))
	nic := n.Must(t, "nic0").Attrs()
	seg := mustEnsure(t, n, Spec{Bridge: "lan0", Uplink: "nic0"})
	want := Segment{Bridge: "lan0", Index: seg.Index, MAC: nic.HardwareAddr, MTU: 1400, Uplink: "nic0", Made: true}
	if diff := cmp.Diff(want, seg); diff != "" {
		t.Errorf("segment (-want +got):\n%s", diff)
	}
	got := stateOf(t, n, "lan0")
	wantState := state{
		MAC: nic.HardwareAddr.String(), Alias: Alias("lan0"), MTU: 1400,
		Flags: got.Flags | net.FlagUp,
		Sysctls: map[string]string{
			"ipv6/conf/lan0/accept_ra": "0", "ipv6/conf/lan0/disable_ipv6": "1", "ipv4/conf/lan0/arp_ignore": "1",
		},
	}
	if diff := cmp.Diff(wantState, got); diff != "" {
		t.Errorf("bridge (-want +got):\n%s", diff)
	}
	if up := n.Must(t, "nic0").Attrs(); up.MasterIndex != seg.Index || up.Flags&net.FlagUp == 0 {
		t.Errorf("the uplink has master %d and flags %s", up.MasterIndex, up.Flags)
	}
	again := mustEnsure(t, n, Spec{Bridge: "lan0", Uplink: "nic0"})
	if diff := cmp.Diff(seg, again); diff != "" {
		t.Errorf("the second time (-first +second):\n%s", diff)
	}
}

func TestABridgeWithoutUplinkKeepsItsMACAndMTUWhatsoeverJoins(t *testing.T) {
	n := newNode(t)
	seg := mustEnsure(t, n, Spec{Bridge: "cni0", MTU: 1400})
	n.Cable(t, "port0", rtnltest.New(t), "eth0")
	port := n.Must(t, "port0").Attrs().Index
	must(t, n.SetMAC(port, net.HardwareAddr{0, 0, 0, 0, 0, 1}))
	must(t, n.SetMaster(port, seg.Index))
	must(t, n.SetNoMaster(port))
	after := n.Must(t, "cni0").Attrs()
	if after.HardwareAddr.String() != seg.MAC.String() || after.MTU != 1400 || seg.MTU != 1400 {
		t.Errorf("made with %s and MTU %d; now %s and %d", seg.MAC, seg.MTU, after.HardwareAddr, after.MTU)
	}
}

func TestWhatAKilledPluginLeftIsFinishedOrRemoved(t *testing.T) {
	tests := map[string]func(*testing.T, *rtnltest.Netns){
		"a temporary bridge with the uplink": func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			index := n.Bridge(t, temporary("lan0", tempBridge))
			must(t, n.SetMaster(n.Must(t, "nic0").Attrs().Index, index))
		},
		"a bridge that is down": func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			must(t, n.SetDown(mustEnsure(t, n, Spec{Bridge: "lan0", Uplink: "nic0"}).Index))
		},
		"a bridge that lost its uplink": func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			mustEnsure(t, n, Spec{Bridge: "lan0", Uplink: "nic0"})
			must(t, n.SetNoMaster(n.Must(t, "nic0").Attrs().Index))
		},
	}
	for name, leave := range tests {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			leave(t, n)
			seg := mustEnsure(t, n, Spec{Bridge: "lan0", Uplink: "nic0"})
			if _, err := n.Link(temporary("lan0", tempBridge)); !errors.Is(err, rtnl.ErrNotFound) {
				t.Errorf("the temporary bridge: %v", err)
			}
			bridge := n.Must(t, "lan0").Attrs()
			if n.Must(t, "nic0").Attrs().MasterIndex != seg.Index || bridge.Flags&net.FlagUp == 0 || !seg.Made {
				t.Errorf("segment %+v, bridge flags %s", seg, bridge.Flags)
			}
		})
	}
}

func TestEnsureRefuses(t *testing.T) {
	config, down := leaseapi.CodeConfig, leaseapi.CodeBridgeDown
	spec := Spec{Bridge: "lan0", Uplink: "nic0"}
	tests := map[string]struct {
		prepare func(*testing.T, *rtnltest.Netns)
		spec    Spec
		code    leaseapi.Code
		says    string
	}{
		"a bridge of others that is down": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			must(t, n.SetDown(n.Bridge(t, "lan0")))
		}, Spec{Bridge: "lan0"}, down, "ip link set lan0 up"},
		"a bridge that is none":       {nil, Spec{Bridge: "nic0"}, config, "veth"},
		"an uplink that is not there": {nil, Spec{Bridge: "lan0", Uplink: "nic9"}, config, `key "uplink": "nic9"`},
		"the loopback interface":      {nil, Spec{Bridge: "lan0", Uplink: "lo"}, config, "loopback"},
		"a bridge as uplink": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			n.Bridge(t, "nic1")
		}, Spec{Bridge: "lan0", Uplink: "nic1"}, config, "bridge itself"},
		"a Pod's host end": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			n.Cable(t, "vethpl000000001", rtnltest.New(t), "eth0")
		}, Spec{Bridge: "lan0", Uplink: "vethpl000000001"}, config, "host end"},
		"an uplink of another bridge": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			must(t, n.SetMaster(n.Must(t, "nic0").Attrs().Index, n.Bridge(t, "lan1")))
		}, spec, config, "lan1"},
		"an uplink with the node's address": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			n.Address(t, "nic0", "198.18.0.3/16")
		}, spec, config, "198.18.0.3/16"},
		"an uplink outside a bridge of others": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			n.Bridge(t, "lan0")
		}, spec, config, "ip link set nic0 master lan0"},
		"a second uplink": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			mustEnsure(t, n, spec)
			n.Cable(t, "nic1", rtnltest.New(t), "port1")
		}, Spec{Bridge: "lan0", Uplink: "nic1"}, config, "loop"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			if test.prepare != nil {
				test.prepare(t, n)
			}
			_, err := Ensure(t.Context(), n.Handle, test.spec, Place{Bridge: test.spec.Bridge, Uplink: test.spec.Uplink})
			refused(t, err, test.code, test.says)
		})
	}
}

func refused(t *testing.T, err error, code leaseapi.Code, says string) {
	t.Helper()
	var cni *types.Error
	if !errors.As(err, &cni) || cni.Code != uint(code) || !strings.Contains(cni.Error(), says) {
		t.Errorf("got %v, want code %d that says %q", err, code, says)
	}
}

func TestAWirelessUplinkIsRefusedAndNothingIsMade(t *testing.T) {
	n := newNode(t)
	m := newMaker(n.Handle)
	m.wireless = func(int) (bool, error) { return true, nil }
	_, err := m.ensure(Spec{Bridge: "lan0", Uplink: "nic0"}, Place{Bridge: "lan0", Uplink: "nic0"})
	refused(t, err, leaseapi.CodeConfig, "Wi-Fi")
	links, err := n.Links()
	must(t, err)
	for _, l := range links {
		if l.Type() == "bridge" {
			t.Errorf("left behind: %s", l.Attrs().Name)
		}
	}
}

func TestPromiscModeIsSetOnAnyBridge(t *testing.T) {
	n := newNode(t)
	n.Bridge(t, "lan0")
	for _, bridge := range []string{"lan0", "cni0"} {
		for range 2 {
			mustEnsure(t, n, Spec{Bridge: bridge, Promisc: true})
		}
		if n.Must(t, bridge).Attrs().Promisc == 0 {
			t.Errorf("%s is not promiscuous", bridge)
		}
	}
}

func TestReleaseRemovesOnlyWhatPodlanMadeAndNobodyUses(t *testing.T) {
	tests := map[string]struct {
		prepare func(*testing.T, *rtnltest.Netns)
		bridge  string
		stays   bool
	}{
		"made, with its uplink": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			mustEnsure(t, n, Spec{Bridge: "lan0", Uplink: "nic0"})
		}, "lan0", false},
		"made, without ports": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			mustEnsure(t, n, Spec{Bridge: "lan0"})
		}, "lan0", false},
		"made, with another port": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			seg := mustEnsure(t, n, Spec{Bridge: "lan0", Uplink: "nic0"})
			must(t, n.SetMaster(n.Cable(t, "tap0", rtnltest.New(t), "eth0"), seg.Index))
		}, "lan0", true},
		"made by others": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			n.Bridge(t, "lan0")
		}, "lan0", true},
		"made, and renamed since": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			seg := mustEnsure(t, n, Spec{Bridge: "lan0"})
			must(t, n.SetDown(seg.Index))
			must(t, n.SetName(seg.Index, "mine0"))
		}, "mine0", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			test.prepare(t, n)
			for range 2 {
				must(t, Release(t.Context(), n.Handle, test.bridge, "nic0"))
			}
			if _, err := n.Link(test.bridge); (err == nil) != test.stays {
				t.Errorf("the bridge: %v", err)
			}
			if _, err := n.Link("nic0"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFindUplink(t *testing.T) {
	veth, device := func(name string) netlink.Link {
		return &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}}
	}, func(name string) netlink.Link {
		return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: name}}
	}
	vlan := &netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: "eth1.20"}}
	tests := map[string]struct {
		ports []netlink.Link
		want  string
		names []string // in the refusal
	}{
		"no port":                     {nil, "", nil},
		"a NIC among containers":      {[]netlink.Link{veth("veth1"), device("eth1"), veth("vethpl1")}, "eth1", nil},
		"a VLAN":                      {[]netlink.Link{vlan}, "eth1.20", nil},
		"a lab's only port":           {[]netlink.Link{veth("vethpl1"), veth("lab0"), veth("vethpl2")}, "lab0", nil},
		"two NICs":                    {[]netlink.Link{device("eth1"), vlan}, "", []string{"eth1", "eth1.20"}},
		"two containers and no NIC":   {[]netlink.Link{veth("veth1"), veth("veth2")}, "", []string{"veth1", "veth2"}},
		"none but the Pods' own ends": {[]netlink.Link{veth("vethpl1")}, "", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := choose("lan0", test.ports)
			if got != test.want || (err != nil) != (test.names != nil) {
				t.Errorf("got %q, %v", got, err)
			}
			for _, n := range test.names {
				refused(t, err, leaseapi.CodeConfig, n)
			}
		})
	}
}

func TestFindUplinkAsksTheKernelOnlyWithoutAName(t *testing.T) {
	n := newNode(t)
	must(t, n.SetMaster(n.Must(t, "nic0").Attrs().Index, n.Bridge(t, "lan0")))
	for _, test := range [][3]string{{"lan0", "", "nic0"}, {"lan0", "named0", "named0"}, {"none0", "", ""}} {
		got, err := FindUplink(n.Handle, test[0], test[1])
		if err != nil || got != test[2] {
			t.Errorf("FindUplink(%s, %s) = %q, %v", test[0], test[1], got, err)
		}
	}
}
