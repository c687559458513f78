package daemon

import (
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
	"github.com/podlan/podlan/pkg/segment"
)

// inVLAN has the attachment in VLAN 20 of a bridge that filters, and a restorer
// that has looked once. The uplink carries VLAN 30 without Podlan.
func (r *reconciled) inVLAN(t *testing.T) (attachment.Record, *restorer) {
	t.Helper()
	rtnltest.NeedVLAN(t)
	rec, _ := r.attached(t)
	r.filter(t, true)
	uplink := r.Cable(t, "nic0", rtnltest.New(t), "lan0")
	must(t, r.SetMaster(uplink, r.Must(t, "lan0").Attrs().Index))
	must(t, r.AddVLAN(uplink, rtnl.VLANRange{First: 30, Last: 30}, rtnl.VLANFlags{}, false))

	vid := []netconf.VLANRange{{First: 20, Last: 20}}
	rec.Uplink, rec.Filtering, rec.VLAN, rec.Granted = "nic0", true, 20, segment.Grant{Uplink: vid, Bridge: vid}
	rec.Trunk = []netconf.VLANRange{{First: 30, Last: 30}}
	must(t, segment.Give(r.Handle, rec.Place(), rec.Granted))
	must(t, r.store.Put(rec))
	restorer := r.newRestorer()
	restorer.once(t.Context())
	if !r.inItsVLANs(t, rec) {
		t.Fatalf("the port is not in its VLANs\n%s", r.log.String())
	}
	return rec, restorer
}

func (r *reconciled) filter(t *testing.T, on bool) {
	t.Helper()
	bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), VlanFiltering: &on}
	bridge.Name = "lan0"
	must(t, r.Do(func() error { return netlink.LinkModify(bridge) }))
}

// inItsVLANs tells whether the port is held, and in exactly its VLANs.
func (r *reconciled) inItsVLANs(t *testing.T, rec attachment.Record) bool {
	t.Helper()
	index := r.Must(t, rec.HostEnd).Attrs().Index
	vlans, err := r.VLANs(index)
	must(t, err)
	_, secure, err := pod.Secured(r.Handle, index, rec.HardwareAddr(), rec.PortFlags(false), nil)
	must(t, err)
	return secure && slices.Equal(vlans, []rtnl.VLAN{{VID: 20, PVID: true, Untagged: true}, {VID: 30}})
}

func (r *reconciled) carries(t *testing.T, link string, vid uint16) bool {
	t.Helper()
	vlans, err := r.VLANs(r.Must(t, link).Attrs().Index)
	must(t, err)
	return slices.ContainsFunc(vlans, func(v rtnl.VLAN) bool { return v.VID == vid })
}

func TestAPortsVLANsArePutBack(t *testing.T) {
	r := newReconciled(t)
	rec, restorer := r.inVLAN(t)
	index := r.Must(t, rec.HostEnd).Attrs().Index
	must(t, r.AddVLAN(index, rtnl.VLANRange{First: 1, Last: 1}, rtnl.VLANFlags{PVID: true, Untagged: true}, false))
	must(t, r.DelVLAN(index, rtnl.VLANRange{First: 30, Last: 30}, false))
	restorer.once(t.Context())
	if !r.inItsVLANs(t, rec) {
		t.Error("it is not in its VLANs")
	}
}

func TestVLANsThatPodlanGaveAreGivenAgainAndNoOthers(t *testing.T) {
	r := newReconciled(t)
	_, restorer := r.inVLAN(t)
	for link, self := range map[string]bool{"nic0": false, "lan0": true} {
		must(t, r.DelVLAN(r.Must(t, link).Attrs().Index, rtnl.VLANRange{First: 20, Last: 30}, self))
	}
	restorer.once(t.Context())
	if !r.carries(t, "nic0", 20) || !r.carries(t, "lan0", 20) || r.carries(t, "nic0", 30) {
		t.Errorf("VLAN 20 of the uplink %t and of the bridge %t, want both; VLAN 30, which was the administrator's, %t",
			r.carries(t, "nic0", 20), r.carries(t, "lan0", 20), r.carries(t, "nic0", 30))
	}
}

// Without filtering all of the bridge's ports are on one network.
func TestAPortIsCutOffWhileItsBridgeDoesNotFilter(t *testing.T) {
	r := newReconciled(t)
	rec, restorer := r.inVLAN(t)
	r.filter(t, false)
	for range 2 {
		restorer.once(t.Context())
	}
	if host := r.Must(t, rec.HostEnd); host.Attrs().MasterIndex != 0 || rtnl.HasCarrier(host) {
		t.Errorf("the port is in bridge %d, its carrier %t", host.Attrs().MasterIndex, rtnl.HasCarrier(host))
	}
	r.filter(t, true)
	restorer.once(t.Context())
	if host := r.Must(t, rec.HostEnd); !r.inItsVLANs(t, rec) || !rtnl.HasCarrier(host) {
		t.Error("the port is not back")
	}
}
