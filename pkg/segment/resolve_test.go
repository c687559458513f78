package segment

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

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
		"a trunk on such a bridge": {
			func(t *testing.T, n *rtnltest.Netns) { t.Helper(); n.Bridge(t, "lan0") },
			Spec{Bridge: "lan0", Uplink: "nic0", VLANs: netconf.VLANs{Trunk: single(20)}},
			[]string{"vlan_filtering 1"},
		},
		"a second VLAN in such a bridge": {
			func(t *testing.T, n *rtnltest.Netns) { t.Helper(); n.Bridge(t, "lan0") },
			Spec{Bridge: "lan0", VLANs: netconf.VLANs{VLAN: 20}},
			[]string{`"vlan": "20"`, `"uplink"`, "lan0-20", "vlan_filtering 1"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			test.prepare(t, n)
			resolveRefuses(t, n, test.spec, test.says...)
		})
	}
}

// resolveRefuses fails unless the spec is refused with all these words, and nothing
// changed.
func resolveRefuses(t *testing.T, n *rtnltest.Netns, spec Spec, says ...string) {
	t.Helper()
	before := everything(t, n)
	_, err := Resolve(t.Context(), n.Handle, spec)
	for _, word := range says {
		refused(t, err, leaseapi.CodeConfig, word)
	}
	unchanged(t, before, everything(t, n))
}

func TestResolveRefusesWhatWouldCutSomebodyOff(t *testing.T) {
	sub, filtering := netconf.ModeSubinterface, netconf.ModeFiltering
	const q = netlink.VLAN_PROTOCOL_8021Q
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
			resolveRefuses(t, n, test.spec, test.says...)
		})
	}
}

func TestModesWithoutTheKey(t *testing.T) {
	rtnltest.NeedVLAN(t)
	tests := map[string]struct {
		prepare func(*testing.T, *rtnltest.Netns)
		spec    Spec
		want    Place
	}{
		"an existing filtering bridge": {
			func(t *testing.T, n *rtnltest.Netns) { t.Helper(); filteringBridge(t, n, "lan0", "nic0") },
			vlanSpec(20, ""),
			Place{Bridge: "lan0", Uplink: "nic0", VLAN: 20, Filtering: true},
		},
		"its only port that is no guest's": {func(t *testing.T, n *rtnltest.Netns) {
			t.Helper()
			vlanDevice(t, n, "nic0.5", "nic0", 5, netlink.VLAN_PROTOCOL_8021Q)
			filteringBridge(t, n, "lan0", "nic0.5", "nic0")
		}, Spec{Bridge: "lan0", VLANs: netconf.VLANs{VLAN: 20}}, Place{Bridge: "lan0", Uplink: "nic0.5", VLAN: 20, Filtering: true}},
		"a guest's port is no uplink": {
			func(t *testing.T, n *rtnltest.Netns) { t.Helper(); filteringBridge(t, n, "lan0", "nic0") },
			Spec{Bridge: "lan0", VLANs: netconf.VLANs{VLAN: 20}},
			Place{Bridge: "lan0", VLAN: 20, Filtering: true},
		},
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

func TestAKernelWithoutVLANsIsNamedInTheRefusal(t *testing.T) {
	without := errors.Is(rtnltest.ProbeVLAN(), rtnltest.ErrNoVLAN)
	for mode, says := range map[netconf.VLANMode]string{netconf.ModeSubinterface: "modprobe 8021q", netconf.ModeFiltering: "CONFIG_BRIDGE_VLAN_FILTERING"} {
		t.Run(string(mode), func(t *testing.T) {
			n := newNode(t)
			before := everything(t, n)
			spec := vlanSpec(20, mode)
			place, err := Resolve(t.Context(), n.Handle, spec)
			must(t, err)
			_, err = Ensure(t.Context(), n.Handle, spec, place)
			if !without {
				must(t, err)
				return
			}
			refused(t, err, leaseapi.CodeConfig, says)
			unchanged(t, before, everything(t, n))
		})
	}
}
