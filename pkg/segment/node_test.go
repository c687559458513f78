package segment

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

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
		for _, r := range routes {
			if text := rtnl.RouteText(&r); !linkLocal(text) {
				f.Routes = append(f.Routes, text)
			}
		}
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

func filteringBridge(t *testing.T, n *rtnltest.Netns, name string, ports ...string) {
	t.Helper()
	b := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), VlanFiltering: new(true)}
	b.Name = name
	must(t, n.Add(b))
	index := n.Up(t, name)
	for _, p := range ports {
		must(t, n.SetMaster(n.Must(t, p).Attrs().Index, index))
	}
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
