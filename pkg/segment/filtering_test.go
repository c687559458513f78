package segment

import (
	"net"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

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
					if at := opened(t, n, seg, ipNet(t, addr)); at != "lan0.20" {
						t.Errorf("%s is on %s", addr, at)
					}
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
			_, err := Gateway(t.Context(), n.Handle, seg, other, false)
			refused(t, err, leaseapi.CodeConfig, "VLAN device lan0.20")
			must(t, CloseGateway(n.Handle, "lan0", 30))
			if _, err := n.Link("lan0.20"); err != nil {
				t.Error(err)
			}
			leave(t, n, place, grant)
			unchanged(t, before, everything(t, n))
		})
	}
}
