package segment

import (
	"net"
	"slices"
	"testing"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
)

// TestTheNodeIsInAPlainSegmentByTheBridge, whose frames bear no tag for it.
func TestTheNodeIsInAPlainSegmentByTheBridge(t *testing.T) {
	n := newNode(t)
	seg := mustEnsure(t, n, Spec{Bridge: "cni0"})
	dev, err := VLANDevice(t.Context(), n.Handle, "cni0", 0)
	must(t, err)
	if dev.Name != "cni0" || dev.Index != seg.Index || dev.MAC.String() != seg.MAC.String() || !dev.Made {
		t.Errorf("got %+v, want the bridge %+v", dev, seg)
	}
}

// TestTheNodeIsInAVLANByADeviceThatGatewayAndLegShare: whoever of both comes
// first makes it, and it goes with the VLAN's last Pod.
func TestTheNodeIsInAVLANByADeviceThatGatewayAndLegShare(t *testing.T) {
	for name, made := range map[string]bool{"on a bridge of others": false, "on a bridge of ours": true} {
		t.Run(name, func(t *testing.T) {
			n := vlanNode(t)
			if !made {
				filteringBridge(t, n, "lan0")
			}
			before := everything(t, n)
			place, seg, grant := occupy(t, n, Spec{Bridge: "lan0", VLANs: netconf.VLANs{VLAN: 20, Mode: netconf.ModeFiltering}})
			dev, err := VLANDevice(t.Context(), n.Handle, "lan0", 20)
			must(t, err)
			isQuiet(t, everything(t, n), dev.Name)
			link := n.Must(t, "lan0.20").Attrs()
			if dev.Name != "lan0.20" || dev.Index != link.Index || !dev.Made || link.Flags&net.FlagUp == 0 || dev.MAC.String() != seg.MAC.String() {
				t.Errorf("got %+v, up %t; want lan0.20 with the bridge's MAC %s", dev, link.Flags&net.FlagUp != 0, seg.MAC)
			}
			name, err := Gateway(t.Context(), n.Handle, seg, ipNet(t, "198.18.0.1/16"), false)
			must(t, err)
			if name != dev.Name {
				t.Errorf("the gateway is on %s", name)
			}
			again, err := VLANDevice(t.Context(), n.Handle, "lan0", 20)
			must(t, err)
			if again.Index != dev.Index || !slices.Contains(everything(t, n)["lan0.20"].State.Addrs, "198.18.0.1/16") {
				t.Errorf("the gateway has another device than %+v", again)
			}
			leave(t, n, place, grant)
			unchanged(t, before, everything(t, n))
		})
	}
}

// TestTheNodeIsInAVLANOfTheBridgesOwnByTheBridge: an administrator who gave the
// bridge itself the VLAN without a tag gets no device beside it.
func TestTheNodeIsInAVLANOfTheBridgesOwnByTheBridge(t *testing.T) {
	n := vlanNode(t)
	filteringBridge(t, n, "lan0")
	index := n.Must(t, "lan0").Attrs().Index
	must(t, n.AddVLAN(index, rtnl.VLANRange{First: 20, Last: 20}, rtnl.VLANFlags{PVID: true, Untagged: true}, true))
	dev, err := VLANDevice(t.Context(), n.Handle, "lan0", 20)
	must(t, err)
	if dev.Index != index || dev.Made {
		t.Errorf("got %+v, want the bridge", dev)
	}
}

func TestADeviceOfOthersThatIsDownIsNotRaised(t *testing.T) {
	n := vlanNode(t)
	filteringBridge(t, n, "lan0")
	_, err := VLANDevice(t.Context(), n.Handle, "lan0", 20)
	must(t, err)
	link := n.Must(t, "lan0.20").Attrs()
	must(t, n.SetAlias(link.Index, "somebody's"))
	must(t, n.SetDown(link.Index))
	_, err = VLANDevice(t.Context(), n.Handle, "lan0", 20)
	refused(t, err, leaseapi.CodeBridgeDown, "lan0.20")
}
