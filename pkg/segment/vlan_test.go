package segment

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// vlanNode is newNode where the kernel knows VLANs; its NIC bears the node's
// address.
func vlanNode(t *testing.T) *rtnltest.Netns {
	t.Helper()
	rtnltest.NeedVLAN(t)
	n := newNode(t)
	n.Address(t, "nic0", "203.0.113.3/24")
	return n
}

// full is what a test compares of a namespace: everything that Podlan must leave
// as it was.
type full struct {
	State  state
	Kind   string
	Master string
	Routes []string
	VLANs  []rtnl.VLAN
}

func everything(t *testing.T, n *rtnltest.Netns) map[string]full {
	t.Helper()
	links, err := n.Links()
	must(t, err)
	all := map[string]full{}
	for _, l := range links {
		a := l.Attrs()
		f := full{State: stateOf(t, n, a.Name), Kind: l.Type()}
		f.Master, err = nameOf(n.Handle, a.MasterIndex)
		must(t, err)
		routes, err := n.Routes(a.Index)
		must(t, err)
		// Carrier is told later, and link-local addresses come when their check is done.
		f.State.Flags &^= net.FlagRunning
		f.State.Addrs = slices.DeleteFunc(append([]string{}, f.State.Addrs...), linkLocal)
		for _, r := range routes {
			f.Routes = append(f.Routes, rtnl.RouteText(&r))
		}
		f.Routes = slices.DeleteFunc(append([]string{}, f.Routes...), linkLocal)
		if f.VLANs, err = n.VLANs(a.Index); !errors.Is(err, rtnl.ErrNoPort) {
			must(t, err)
		}
		all[a.Name] = f
	}
	return all
}

func linkLocal(text string) bool {
	return strings.HasPrefix(text, "fe80:") || strings.HasPrefix(text, "ff00:")
}

func unchanged(t *testing.T, before, after map[string]full) {
	t.Helper()
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the node is not as it was (-before +after):\n%s", diff)
	}
}

func vlanSpec(vid uint16, mode netconf.VLANMode) Spec {
	return Spec{Bridge: "lan0", Uplink: "nic0", VLANs: netconf.VLANs{VLAN: vid, Mode: mode}}
}

// occupy does what an ADD does; the place is what its record would say.
func occupy(t *testing.T, n *rtnltest.Netns, spec Spec) (Place, Segment, Grant) {
	t.Helper()
	place, err := Resolve(t.Context(), n.Handle, spec)
	must(t, err)
	grant, err := Missing(n.Handle, place)
	must(t, err)
	seg, err := Ensure(t.Context(), n.Handle, spec, place)
	must(t, err)
	must(t, Give(n.Handle, place, grant))
	return place, seg, grant
}

// leave does what the last DEL does.
func leave(t *testing.T, n *rtnltest.Netns, p Place, g Grant) {
	t.Helper()
	must(t, TakeBack(n.Handle, p.Bridge, p.Uplink, g))
	must(t, Release(t.Context(), n.Handle, p.Bridge, p.Uplink))
}

func vlanDevice(t *testing.T, n *rtnltest.Netns, name, parent string, vid int, proto netlink.VlanProtocol) int {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = name, n.Must(t, parent).Attrs().Index
	must(t, n.Add(&netlink.Vlan{LinkAttrs: attrs, VlanId: vid, VlanProtocol: proto}))
	return n.Up(t, name)
}

func filteringBridge(t *testing.T, n *rtnltest.Netns, name string, ports ...string) int {
	t.Helper()
	b := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), VlanFiltering: new(true)}
	b.Name = name
	must(t, n.Add(b))
	index := n.Up(t, name)
	for _, p := range ports {
		must(t, n.SetMaster(n.Must(t, p).Attrs().Index, index))
	}
	return index
}

func TestASubinterfacesBridgeIsMadeBesideTheNodesOwnNetwork(t *testing.T) {
	n := vlanNode(t)
	must(t, n.SetMTU(n.Must(t, "nic0").Attrs().Index, 1400))
	before := everything(t, n)
	place, seg, grant := occupy(t, n, vlanSpec(20, netconf.ModeAuto))
	want := Place{Bridge: "lan0-20", Uplink: "nic0.20", Parent: "nic0", VLAN: 20}
	if diff := cmp.Diff(want, place); diff != "" {
		t.Errorf("place (-want +got):\n%s", diff)
	}
	mac := n.Must(t, "nic0").Attrs().HardwareAddr
	wantSegment := Segment{Bridge: "lan0-20", Index: seg.Index, MAC: mac, MTU: 1400, Uplink: "nic0.20", Made: true}
	if diff := cmp.Diff(wantSegment, seg); diff != "" {
		t.Errorf("segment (-want +got):\n%s", diff)
	}
	during := everything(t, n)
	for _, name := range []string{"lan0-20", "nic0.20"} {
		isQuiet(t, during, name)
		if s := during[name].State; s.Alias != Alias(name) || s.MTU != 1400 || s.Flags&net.FlagUp == 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if vlan, ok := n.Must(t, "nic0.20").(*netlink.Vlan); !ok || vlan.VlanId != 20 || vlan.VlanProtocol != netlink.VLAN_PROTOCOL_8021Q || vlan.MasterIndex != seg.Index {
		t.Errorf("the sub-interface is %+v", vlan)
	}
	// A bridge's port hears everything, and the NIC below it.
	nic := during["nic0"]
	nic.State.Promisc = before["nic0"].State.Promisc
	unchanged(t, map[string]full{"nic0": before["nic0"]}, map[string]full{"nic0": nic})

	again, err := Ensure(t.Context(), n.Handle, vlanSpec(20, netconf.ModeAuto), place)
	if diff := cmp.Diff(seg, again); err != nil || diff != "" {
		t.Errorf("the second time: %v (-first +second):\n%s", err, diff)
	}
	unchanged(t, during, everything(t, n))
	leave(t, n, place, grant)
	unchanged(t, before, everything(t, n))
}

func isQuiet(t *testing.T, all map[string]full, name string) {
	t.Helper()
	want := map[string]string{
		"ipv6/conf/" + name + "/accept_ra": "0", "ipv6/conf/" + name + "/disable_ipv6": "1", "ipv4/conf/" + name + "/arp_ignore": "1",
	}
	if diff := cmp.Diff(want, all[name].State.Sysctls); diff != "" || len(all[name].State.Addrs) > 0 {
		t.Errorf("%s bears %v and listens (-want +got):\n%s", name, all[name].State.Addrs, diff)
	}
}

func TestTwoTagsShareTheirOuterOneUntilTheLastIsGone(t *testing.T) {
	n := vlanNode(t)
	before := everything(t, n)
	spec := vlanSpec(20, netconf.ModeSubinterface)
	spec.OuterVLAN = 100
	first, seg, grant := occupy(t, n, spec)
	want := Place{Bridge: "lan0-100.20", Uplink: "nic0.100.20", Parent: "nic0", VLAN: 20, OuterVLAN: 100}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("place (-want +got):\n%s", diff)
	}
	if seg.MTU != 1496 {
		t.Errorf("the bridge's MTU is %d, want 1496", seg.MTU)
	}
	all := everything(t, n)
	for _, name := range []string{"nic0.100", "nic0.100.20", "lan0-100.20"} {
		isQuiet(t, all, name)
	}
	outer, ok := n.Must(t, "nic0.100").(*netlink.Vlan)
	if !ok || outer.VlanProtocol != netlink.VLAN_PROTOCOL_8021AD || outer.VlanId != 100 || outer.MTU != 1500 {
		t.Errorf("the outer one is %+v", outer)
	}
	if inner, ok := n.Must(t, "nic0.100.20").(*netlink.Vlan); !ok || inner.VlanProtocol != netlink.VLAN_PROTOCOL_8021Q || inner.VlanId != 20 || inner.ParentIndex != outer.Index {
		t.Errorf("the inner one is %+v", inner)
	}
	spec.VLAN = 21
	second, _, _ := occupy(t, n, spec)
	leave(t, n, first, grant)
	if _, err := n.Link("nic0.100.21"); err != nil {
		t.Error(err)
	}
	leave(t, n, second, grant)
	unchanged(t, before, everything(t, n))
}

func TestAVLANDeviceOfOthersIsUsedAndLeftAsItIs(t *testing.T) {
	n := vlanNode(t)
	vlanDevice(t, n, "admin20", "nic0", 20, netlink.VLAN_PROTOCOL_8021Q)
	before := everything(t, n)
	place, _, grant := occupy(t, n, vlanSpec(20, netconf.ModeSubinterface))
	if place.Uplink != "admin20" || n.Must(t, "admin20").Attrs().MasterIndex != n.Must(t, "lan0-20").Attrs().Index {
		t.Errorf("place %+v", place)
	}
	leave(t, n, place, grant)
	unchanged(t, before, everything(t, n))
}

func TestResolveRefuses(t *testing.T) {
	sub, filtering := netconf.ModeSubinterface, netconf.ModeFiltering
	none := func(*testing.T, *rtnltest.Netns) {}
	tests := map[string]struct {
		prepare func(*testing.T, *rtnltest.Netns)
		spec    Spec
		says    []string
	}{
		"a sub-interface of nothing":    {none, Spec{Bridge: "lan0", VLANs: netconf.VLANs{VLAN: 20, Mode: sub}}, []string{`"uplink"`, "a NIC"}},
		"a sub-interface of no link":    {none, Spec{Bridge: "lan0", Uplink: "nic9", VLANs: netconf.VLANs{VLAN: 20}}, []string{`"nic9"`, "no such link"}},
		"a sub-interface of loopback":   {none, Spec{Bridge: "lan0", Uplink: "lo", VLANs: netconf.VLANs{VLAN: 20, Mode: sub}}, []string{"loopback"}},
		"a trunk over a sub-interface":  {none, Spec{Bridge: "lan0", Uplink: "nic0", VLANs: netconf.VLANs{VLAN: 20, Mode: sub, Trunk: single(30)}}, []string{"vlanTrunk", "filtering"}},
		"a link that is no bridge":      {none, Spec{Bridge: "nic0", VLANs: netconf.VLANs{VLAN: 20}}, []string{`"bridge"`, "veth"}},
		"a bridge that does not filter": {func(t *testing.T, n *rtnltest.Netns) { t.Helper(); n.Bridge(t, "lan0") }, vlanSpec(20, filtering), []string{`"vlanMode"`, "ip link set lan0 type bridge vlan_filtering 1"}},
		"a trunk on such a bridge": {func(t *testing.T, n *rtnltest.Netns) { t.Helper(); n.Bridge(t, "lan0") },
			Spec{Bridge: "lan0", Uplink: "nic0", VLANs: netconf.VLANs{Trunk: single(20)}}, []string{"vlan_filtering 1"}},
		"a second VLAN in such a bridge": {func(t *testing.T, n *rtnltest.Netns) { t.Helper(); n.Bridge(t, "lan0") },
			Spec{Bridge: "lan0", VLANs: netconf.VLANs{VLAN: 20}}, []string{`"vlan": "20"`, `"uplink"`, "lan0-20", "vlan_filtering 1"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			test.prepare(t, n)
			before := everything(t, n)
			_, err := Resolve(t.Context(), n.Handle, test.spec)
			for _, says := range test.says {
				refused(t, err, leaseapi.CodeConfig, says)
			}
			unchanged(t, before, everything(t, n))
		})
	}
}

func TestResolveRefusesWhatWouldCutSomebodyOff(t *testing.T) {
	sub, filtering := netconf.ModeSubinterface, netconf.ModeFiltering
	q := netlink.VlanProtocol(netlink.VLAN_PROTOCOL_8021Q)
	tests := map[string]struct {
		prepare func(*testing.T, *rtnltest.Netns)
		spec    Spec
		says    []string
	}{
		"a VLAN device with an address": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			vlanDevice(t, n, "nic0.20", "nic0", 20, q)
			n.Address(t, "nic0.20", "198.18.0.3/16")
		}, vlanSpec(20, sub), []string{"198.18.0.3/16", "ip addr flush dev nic0.20"}},
		"a VLAN device of another bridge": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			must(t, n.SetMaster(vlanDevice(t, n, "nic0.20", "nic0", 20, q), n.Bridge(t, "other0")))
		}, vlanSpec(20, sub), []string{"other0", "nomaster"}},
		"a name that another link bears": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			vlanDevice(t, n, "nic0.20", "nic0", 30, q)
		}, vlanSpec(20, sub), []string{`"vlan": "20"`, "nic0.20", "VLAN 30"}},
		"a VLAN that a filtering bridge carries": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			filteringBridge(t, n, "other0", "nic0")
			must(t, n.AddVLAN(n.Must(t, "nic0").Attrs().Index, rtnl.VLANRange{First: 20, Last: 20}, rtnl.VLANFlags{}, false))
		}, vlanSpec(20, sub), []string{"other0", `"filtering"`}},
		"an uplink that is no port": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			filteringBridge(t, n, "lan0")
		}, vlanSpec(20, netconf.ModeAuto), []string{"ip link set nic0 master lan0"}},
		"a second uplink": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			n.Cable(t, "nic1", rtnltest.New(t), "port1")
			filteringBridge(t, n, "lan0", "nic1")
		}, vlanSpec(20, filtering), []string{`"nic0"`, "nic1", "loop"}},
		"two that could be it": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			vlanDevice(t, n, "nic0.5", "nic0", 5, q)
			vlanDevice(t, n, "nic0.6", "nic0", 6, q)
			filteringBridge(t, n, "lan0", "nic0.5", "nic0.6")
		}, Spec{Bridge: "lan0", VLANs: netconf.VLANs{VLAN: 20}}, []string{"nic0.5, nic0.6"}},
		"a VLAN that a device takes before the bridge": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			filteringBridge(t, n, "lan0", "nic0")
			vlanDevice(t, n, "nic0.20", "nic0", 20, q)
		}, vlanSpec(20, filtering), []string{`"vlan": "20"`, "nic0.20", "ip link del nic0.20"}},
		"a trunk's VLAN that a device takes": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			filteringBridge(t, n, "lan0", "nic0")
			vlanDevice(t, n, "nic0.20", "nic0", 20, q)
		}, Spec{Bridge: "lan0", Uplink: "nic0", VLANs: netconf.VLANs{VLAN: 7, Trunk: []netconf.VLANRange{{First: 10, Last: 30}}}}, []string{`"vlan": "20"`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			rtnltest.NeedVLAN(t)
			n := newNode(t)
			test.prepare(t, n)
			before := everything(t, n)
			_, err := Resolve(t.Context(), n.Handle, test.spec)
			for _, says := range test.says {
				refused(t, err, leaseapi.CodeConfig, says)
			}
			unchanged(t, before, everything(t, n))
		})
	}
}

func TestAVLANInsideOneThatStandsHasItsTagsRoomLeft(t *testing.T) {
	n := vlanNode(t)
	vlanDevice(t, n, "nic0.5", "nic0", 5, netlink.VLAN_PROTOCOL_8021Q)
	spec := vlanSpec(20, netconf.ModeSubinterface)
	spec.Uplink = "nic0.5"
	if place, seg, _ := occupy(t, n, spec); place.Uplink != "nic0.5.20" || seg.MTU != 1496 {
		t.Errorf("%+v, MTU %d", place, seg.MTU)
	}
}

// TestLocksAreEnough has Pods come and go at once, and as many locks as the
// places name.
func TestLocksAreEnough(t *testing.T) {
	n := vlanNode(t)
	before := everything(t, n)
	var locks sync.Map
	lock := func(names []string) (unlock func()) {
		for _, name := range names {
			l, _ := locks.LoadOrStore(name, &sync.Mutex{})
			l.(*sync.Mutex).Lock() //nolint:forcetypeassert // nothing else is stored
		}
		return func() {
			for _, name := range names {
				l, _ := locks.Load(name)
				l.(*sync.Mutex).Unlock() //nolint:forcetypeassert // nothing else is stored
			}
		}
	}
	var users [4]int // under the bridge's lock
	var pods sync.WaitGroup
	for pod := range 12 {
		pods.Go(func() {
			which := pod % len(users)
			spec := vlanSpec(uint16(20+which), netconf.ModeSubinterface)
			if which > 1 {
				spec.OuterVLAN = 100
			}
			for range 3 {
				place, err := Resolve(t.Context(), n.Handle, spec)
				if err != nil {
					t.Error(err)
					return
				}
				unlock := lock(place.Locks())
				users[which]++
				_, err = Ensure(t.Context(), n.Handle, spec, place)
				unlock()
				if err != nil {
					t.Error(err)
				}
				unlock = lock(place.Locks())
				if users[which]--; users[which] == 0 {
					err = Release(t.Context(), n.Handle, place.Bridge, place.Uplink)
				}
				unlock()
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	pods.Wait()
	unchanged(t, before, everything(t, n))
}

func TestAVLANDeviceInAPodsNamespaceIsNamedInTheRefusal(t *testing.T) {
	n := vlanNode(t)
	pod := rtnltest.New(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.Namespace = "eth0", n.Must(t, "nic0").Attrs().Index, netlink.NsFd(pod.Fd())
	must(t, n.Add(&netlink.Vlan{LinkAttrs: attrs, VlanId: 20}))
	before := everything(t, n)
	spec := vlanSpec(20, netconf.ModeSubinterface)
	place, err := Resolve(t.Context(), n.Handle, spec)
	must(t, err)
	_, err = Ensure(t.Context(), n.Handle, spec, place)
	refused(t, err, leaseapi.CodeConfig, "another network namespace")
	unchanged(t, before, everything(t, n))
}

func TestModesWithoutTheKey(t *testing.T) {
	rtnltest.NeedVLAN(t)
	tests := map[string]struct {
		prepare func(*testing.T, *rtnltest.Netns)
		spec    Spec
		want    Place
	}{
		"an existing filtering bridge": {func(t *testing.T, n *rtnltest.Netns) { t.Helper(); filteringBridge(t, n, "lan0", "nic0") },
			vlanSpec(20, ""), Place{Bridge: "lan0", Uplink: "nic0", VLAN: 20, Filtering: true}},
		"its only port that is no guest's": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			vlanDevice(t, n, "nic0.5", "nic0", 5, netlink.VLAN_PROTOCOL_8021Q)
			filteringBridge(t, n, "lan0", "nic0.5", "nic0")
		}, Spec{Bridge: "lan0", VLANs: netconf.VLANs{VLAN: 20}}, Place{Bridge: "lan0", Uplink: "nic0.5", VLAN: 20, Filtering: true}},
		"a guest's port is no uplink": {func(t *testing.T, n *rtnltest.Netns) { t.Helper(); filteringBridge(t, n, "lan0", "nic0") },
			Spec{Bridge: "lan0", VLANs: netconf.VLANs{VLAN: 20}}, Place{Bridge: "lan0", VLAN: 20, Filtering: true}},
		"an uplink given":              {nil, vlanSpec(20, ""), Place{Bridge: "lan0-20", Uplink: "nic0.20", Parent: "nic0", VLAN: 20}},
		"neither":                      {nil, Spec{Bridge: "lan0", VLANs: netconf.VLANs{VLAN: 20}}, Place{Bridge: "lan0", VLAN: 20, Filtering: true}},
		"a trunk alone":                {nil, Spec{Bridge: "lan0", Uplink: "nic0", VLANs: netconf.VLANs{Trunk: single(20)}}, Place{Bridge: "lan0", Uplink: "nic0", Trunk: single(20), Filtering: true}},
		"no VLAN, whatever the mode":   {nil, vlanSpec(0, netconf.ModeFiltering), Place{Bridge: "lan0", Uplink: "nic0"}},
		"a plain bridge and an uplink": {func(t *testing.T, n *rtnltest.Netns) { t.Helper(); n.Bridge(t, "lan0") }, vlanSpec(20, ""), Place{Bridge: "lan0-20", Uplink: "nic0.20", Parent: "nic0", VLAN: 20}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			if test.prepare != nil {
				test.prepare(t, n)
			}
			got, err := Resolve(t.Context(), n.Handle, test.spec)
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func vlansOf(t *testing.T, n *rtnltest.Netns, name string) []rtnl.VLAN {
	t.Helper()
	all, err := n.VLANs(n.Must(t, name).Attrs().Index)
	must(t, err)
	return all
}

func TestAFilteringBridgeLendsItsTablesForAsLongAsAPodNeedsThem(t *testing.T) {
	n := vlanNode(t)
	filteringBridge(t, n, "lan0", "nic0")
	nic := n.Must(t, "nic0").Attrs().Index
	// VLAN 10 is the administrator's and native, 30 his and tagged.
	must(t, n.AddVLAN(nic, rtnl.VLANRange{First: 10, Last: 10}, rtnl.VLANFlags{PVID: true, Untagged: true}, false))
	must(t, n.AddVLAN(nic, rtnl.VLANRange{First: 30, Last: 30}, rtnl.VLANFlags{}, false))
	before := everything(t, n)
	ranges := func(r ...netconf.VLANRange) []netconf.VLANRange { return r }
	tests := map[string]struct {
		vlans    netconf.VLANs
		want     Grant
		untagged bool
	}{
		"one that nobody has":    {netconf.VLANs{VLAN: 20}, Grant{Uplink: single(20), Bridge: single(20)}, false},
		"the native one":         {netconf.VLANs{VLAN: 10}, Grant{Bridge: single(10)}, true},
		"one that is carried":    {netconf.VLANs{VLAN: 30}, Grant{Bridge: single(30)}, false},
		"the default one":        {netconf.VLANs{VLAN: 1}, Grant{}, true},
		"a trunk around all":     {netconf.VLANs{VLAN: 20, Trunk: ranges(netconf.VLANRange{First: 9, Last: 12}, netconf.VLANRange{First: 29, Last: 4094})}, Grant{Uplink: ranges(netconf.VLANRange{First: 9, Last: 9}, netconf.VLANRange{First: 11, Last: 12}, netconf.VLANRange{First: 20, Last: 20}, netconf.VLANRange{First: 29, Last: 29}, netconf.VLANRange{First: 31, Last: 4094}), Bridge: single(20)}, false},
		"a trunk and no own one": {netconf.VLANs{Trunk: single(40)}, Grant{Uplink: single(40)}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			spec := Spec{Bridge: "lan0", Uplink: "nic0", VLANs: test.vlans}
			place, seg, grant := occupy(t, n, spec)
			if diff := cmp.Diff(test.want, grant); diff != "" {
				t.Errorf("grant (-want +got):\n%s", diff)
			}
			if !seg.Filtering || seg.VLAN != test.vlans.VLAN || seg.Untagged != test.untagged {
				t.Errorf("segment %+v", seg)
			}
			if test.vlans.VLAN != 0 {
				if got, err := Untagged(n.Handle, "nic0", test.vlans.VLAN); err != nil || got != test.untagged {
					t.Errorf("Untagged: %t, %v", got, err)
				}
			}
			must(t, Give(n.Handle, place, grant))
			if none, err := Missing(n.Handle, place); err != nil || len(none.Uplink)+len(none.Bridge) > 0 {
				t.Errorf("after Give there lacks %+v, %v", none, err)
			}
			for range 2 {
				leave(t, n, place, grant)
			}
			unchanged(t, before, everything(t, n))
		})
	}
}

func TestWhatSomebodyHasChangedIsNotTakenBack(t *testing.T) {
	n := vlanNode(t)
	filteringBridge(t, n, "lan0", "nic0")
	place, _, grant := occupy(t, n, vlanSpec(20, netconf.ModeFiltering))
	native := rtnl.VLANFlags{PVID: true, Untagged: true}
	must(t, n.AddVLAN(n.Must(t, "nic0").Attrs().Index, rtnl.VLANRange{First: 20, Last: 20}, native, false))
	leave(t, n, place, grant)
	want := []rtnl.VLAN{{VID: 1, Untagged: true}, {VID: 20, PVID: true, Untagged: true}}
	if got := vlansOf(t, n, "nic0"); !slices.Equal(got, want) {
		t.Errorf("the uplink's table is %+v, want %+v", got, want)
	}
	if _, err := Untagged(n.Handle, "nic0", 30); err == nil {
		t.Error("a VLAN that the uplink does not carry is no error")
	} else {
		refused(t, err, leaseapi.CodeConfig, "bridge vlan add dev nic0 vid 30")
	}
}

func TestAMissingBridgeIsMadeToFilter(t *testing.T) {
	for name, uplink := range map[string]string{"with its uplink": "nic0", "without": ""} {
		t.Run(name, func(t *testing.T) {
			rtnltest.NeedVLAN(t)
			n := newNode(t)
			before := everything(t, n)
			spec := Spec{Bridge: "lan0", Uplink: uplink, VLANs: netconf.VLANs{VLAN: 20, Mode: netconf.ModeFiltering}}
			place, seg, grant := occupy(t, n, spec)
			info, err := n.Handle.Bridge(seg.Index)
			if err != nil || !info.VLANFiltering || info.DefaultPVID != 1 || !seg.Made || !seg.Filtering || seg.VLAN != 20 || seg.Untagged {
				t.Errorf("%v, bridge %+v, segment %+v", err, info, seg)
			}
			isQuiet(t, everything(t, n), "lan0")
			want := []rtnl.VLAN{{VID: 1, PVID: true, Untagged: true}, {VID: 20}}
			for _, table := range []string{"lan0", uplink} {
				if table != "" && !slices.Equal(vlansOf(t, n, table), want) {
					t.Errorf("%s: %+v", table, vlansOf(t, n, table))
				}
			}
			leave(t, n, place, grant)
			unchanged(t, before, everything(t, n))
		})
	}
}

func TestAGatewayInAVLANStandsOnADeviceOfItsOwn(t *testing.T) {
	for name, made := range map[string]bool{"on a bridge of others": false, "on a bridge of ours": true} {
		t.Run(name, func(t *testing.T) {
			n := vlanNode(t)
			if !made {
				filteringBridge(t, n, "lan0")
			}
			before := everything(t, n)
			spec := Spec{Bridge: "lan0", VLANs: netconf.VLANs{VLAN: 20, Mode: netconf.ModeFiltering}}
			place, seg, grant := occupy(t, n, spec)
			for range 2 {
				for _, addr := range []string{"198.18.0.1/16", "fd00::1/64"} {
					must(t, Gateway(t.Context(), n.Handle, seg, ipNet(t, addr), false))
				}
			}
			all := everything(t, n)
			gateway := all["lan0.20"].State
			if gateway.Alias != Alias("lan0.20") || gateway.Flags&net.FlagUp == 0 || len(all["lan0"].State.Addrs) > 1 {
				t.Errorf("the gateway is %+v, the bridge bears %v", gateway, all["lan0"].State.Addrs)
			}
			for _, want := range []string{"198.18.0.1/16", "fd00::1/64"} {
				if !slices.Contains(gateway.Addrs, want) {
					t.Errorf("the gateway bears %v, not %s", gateway.Addrs, want)
				}
			}
			if got := gateway.Sysctls["ipv6/conf/lan0.20/accept_ra"]; got != "0" {
				t.Errorf("accept_ra of the gateway is %s", got)
			}
			other := ipNet(t, "10.0.0.1/8")
			refused(t, Gateway(t.Context(), n.Handle, seg, other, false), leaseapi.CodeConfig, "VLAN device lan0.20")
			must(t, CloseGateway(n.Handle, "lan0", 30))
			if _, err := n.Link("lan0.20"); err != nil {
				t.Error(err)
			}
			leave(t, n, place, grant)
			unchanged(t, before, everything(t, n))
		})
	}
}

func TestReleaseLeavesWhatSomebodyUses(t *testing.T) {
	tests := map[string]func(*testing.T, *rtnltest.Netns){
		"a Pod's port": func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			must(t, n.SetMaster(n.Cable(t, "vethpl000000001", rtnltest.New(t), "eth0"), n.Must(t, "lan0-20").Attrs().Index))
		},
		"an address on the sub-interface": func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			must(t, n.Delete("lan0-20"))
			n.Address(t, "nic0.20", "198.18.0.3/16")
		},
		"a device on the sub-interface": func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			must(t, n.Delete("lan0-20"))
			vlanDevice(t, n, "mine", "nic0.20", 7, netlink.VLAN_PROTOCOL_8021Q)
		},
		"a device on the bridge": func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			vlanDevice(t, n, "mine", "lan0-20", 7, netlink.VLAN_PROTOCOL_8021Q)
		},
	}
	for name, use := range tests {
		t.Run(name, func(t *testing.T) {
			n := vlanNode(t)
			place, _, grant := occupy(t, n, vlanSpec(20, netconf.ModeSubinterface))
			use(t, n)
			before := everything(t, n)
			leave(t, n, place, grant)
			unchanged(t, before, everything(t, n))
		})
	}
}

func TestVLANsInOneNodeKeepApart(t *testing.T) {
	n := vlanNode(t)
	before := everything(t, n)
	type stay struct {
		place Place
		grant Grant
	}
	var stays []stay
	for vid := uint16(10); vid < 13; vid++ {
		place, seg, grant := occupy(t, n, vlanSpec(vid, netconf.ModeSubinterface))
		if want := fmt.Sprintf("lan0-%d", vid); seg.Bridge != want {
			t.Errorf("bridge %s, want %s", seg.Bridge, want)
		}
		stays = append(stays, stay{place, grant})
	}
	// A second VLAN as a second uplink of the first one's bridge.
	_, err := Ensure(t.Context(), n.Handle, Spec{}, Place{Bridge: "lan0-10", Uplink: "nic0.11"})
	refused(t, err, leaseapi.CodeConfig, "nic0.10 already")
	for _, s := range stays {
		leave(t, n, s.place, s.grant)
	}
	unchanged(t, before, everything(t, n))
}
