package segment

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

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

	must(t, n.SetDown(n.Must(t, "nic0.20").Attrs().Index))
	again, err := Ensure(t.Context(), n.Handle, vlanSpec(20, netconf.ModeAuto), place)
	if diff := cmp.Diff(seg, again); err != nil || diff != "" {
		t.Errorf("the second time: %v (-first +second):\n%s", err, diff)
	}
	unchanged(t, during, everything(t, n))
	leave(t, n, place, grant)
	unchanged(t, before, everything(t, n))
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
	for pod := range 8 {
		pods.Go(func() {
			which := pod % len(users)
			spec := vlanSpec(uint16(20+which), netconf.ModeSubinterface)
			if which > 1 {
				spec.OuterVLAN = 100
			}
			for range 2 {
				place, err := Resolve(t.Context(), n.Handle, spec)
				for errors.Is(err, rtnl.ErrNotFound) {
					place, err = Resolve(t.Context(), n.Handle, spec)
				}
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
