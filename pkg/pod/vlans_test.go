package pod_test

import (
	"bytes"
	"cmp"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// newTrunk is newSite with a bridge that filters; the uplink carries VLANs 20 and
// 30, the LAN host is in both.
func newTrunk(t *testing.T) *site {
	t.Helper()
	rtnltest.NeedVLAN(t)
	s := newSite(t)
	filter(t, s, true)
	uplink := s.node.Must(t, "uplink0").Attrs().Index
	for _, vid := range []uint16{20, 30} {
		must(t, s.node.AddVLAN(uplink, rtnl.VLANRange{First: vid, Last: vid}, rtnl.VLANFlags{}, false))
		name := map[uint16]string{20: "nic0.20", 30: "nic0.30"}[vid]
		vlan := &netlink.Vlan{LinkAttrs: netlink.NewLinkAttrs(), VlanId: int(vid)}
		vlan.Name, vlan.ParentIndex = name, s.lan.Must(t, "nic0").Attrs().Index
		must(t, s.lan.Add(vlan))
		s.lan.Up(t, name)
	}
	return s
}

func filter(t *testing.T, s *site, on bool) {
	t.Helper()
	bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), VlanFiltering: &on}
	bridge.Name = "lan0"
	must(t, s.node.Do(func() error { return netlink.LinkModify(bridge) }))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func one(vid uint16) netconf.VLANRange { return netconf.VLANRange{First: vid, Last: vid} }

// access and trunk are the flags of an entry.
func access(vid uint16) rtnl.VLAN { return rtnl.VLAN{VID: vid, PVID: true, Untagged: true} }
func tagged(vid uint16) rtnl.VLAN { return rtnl.VLAN{VID: vid} }

// vlansOf returns the VLANs of the host end, in order.
func (s *site) vlansOf(t *testing.T) []rtnl.VLAN {
	t.Helper()
	vlans, err := s.node.VLANs(s.node.Must(t, s.spec.HostEnd).Attrs().Index)
	must(t, err)
	slices.SortFunc(vlans, func(a, b rtnl.VLAN) int { return cmp.Compare(a.VID, b.VID) })
	return vlans
}

func TestAPortIsInItsVLANsAndNoOthers(t *testing.T) {
	rtnltest.NeedVLAN(t)
	cases := map[string]struct {
		vlans pod.VLANs
		want  []rtnl.VLAN
	}{
		"access":                       {pod.VLANs{PVID: 20}, []rtnl.VLAN{access(20)}},
		"the default VLAN by its name": {pod.VLANs{PVID: 1}, []rtnl.VLAN{access(1)}},
		"the default VLAN left":        {pod.VLANs{PVID: 20, KeepDefault: true}, []rtnl.VLAN{{VID: 1, Untagged: true}, access(20)}},
		"a trunk beside it": {
			pod.VLANs{PVID: 20, Tagged: []netconf.VLANRange{one(30), {First: 100, Last: 102}}},
			[]rtnl.VLAN{access(20), tagged(30), tagged(100), tagged(101), tagged(102)},
		},
		"a trunk beside the default": {pod.VLANs{Tagged: []netconf.VLANRange{one(30)}}, []rtnl.VLAN{access(1), tagged(30)}},
		"the default in a trunk":     {pod.VLANs{PVID: 20, Tagged: []netconf.VLANRange{one(1)}}, []rtnl.VLAN{tagged(1), access(20)}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newTrunk(t)
			flags := pod.PortFlags{VLANs: &c.vlans}
			s.attach(t, config(), flags)
			if got := s.vlansOf(t); !slices.Equal(got, c.want) {
				t.Errorf("the port is in %+v, want %+v", got, c.want)
			}
			must(t, pod.Verify(t.Context(), s.node.Handle, s.expected(config(), flags)))
			index := s.node.Must(t, s.spec.HostEnd).Attrs().Index
			for _, vlan := range c.want {
				if has, err := s.node.HasFDB(index, s.spec.MAC, vlan.VID); err != nil || !has {
					t.Errorf("the static entry in VLAN %d: %t, %v", vlan.VID, has, err)
				}
			}
		})
	}
}

func TestAPodIsReachedInItsVLAN(t *testing.T) {
	s := newTrunk(t)
	s.lan.Address(t, "nic0.20", "198.19.0.1/16")
	s.attach(t, pod.IPConfig{Addrs: []pod.Addr{{Prefix: netip.MustParsePrefix("198.19.1.1/16")}}}, pod.PortFlags{VLANs: &pod.VLANs{PVID: 20}})
	if err := dial(t, s.lan, s.pod, "198.19.1.1:80"); err != nil {
		t.Error(err)
	}
}

func TestAnAnnouncementIsHeardInThePodsVLAN(t *testing.T) {
	s := newTrunk(t)
	must(t, s.node.AddVLAN(s.bridge, rtnl.VLANRange{First: 20, Last: 20}, rtnl.VLANFlags{}, true))
	addrs := []netip.Addr{netip.MustParseAddr("198.19.1.1"), netip.MustParseAddr("fd00::1:1")}
	fd := s.lan.PacketSocket(t, "nic0.20", unix.ETH_P_ALL)
	must(t, pod.Announce(t.Context(), s.node.Handle, "lan0", 20, s.spec.MAC, addrs))
	want := [][]byte{arpOf(s.spec.MAC, addrs[0]), advertOf(s.spec.MAC, addrs[1])}
	for len(want) > 0 {
		frame := receive(t, fd)
		want = slices.DeleteFunc(want, func(w []byte) bool { return bytes.HasPrefix(frame, w) })
	}
}

// On such a bridge the Pod would find itself on the untagged network.
func TestAPortWithVLANsJoinsNoBridgeThatDoesNotFilter(t *testing.T) {
	s := newSite(t)
	must(t, pod.Create(t.Context(), s.node.Handle, s.spec))
	err := pod.Join(t.Context(), s.node.Handle, s.spec.HostEnd, s.bridge, s.spec.MAC, pod.PortFlags{VLANs: &pod.VLANs{PVID: 20}})
	host := s.node.Must(t, s.spec.HostEnd).Attrs()
	if !errors.Is(err, pod.ErrNotFiltering) || host.MasterIndex != 0 || host.Flags&net.FlagUp != 0 {
		t.Errorf("got %v; the host end's master is %d, its flags %s", err, host.MasterIndex, host.Flags)
	}
}

func TestVLANsThatSomebodyChangedAreNamedAndPutBack(t *testing.T) {
	rtnltest.NeedVLAN(t)
	entry := func(vid uint16) rtnl.VLANRange { return rtnl.VLANRange{First: vid, Last: vid} }
	cases := map[string]struct {
		change func(h *rtnltest.Netns, port int) error
		says   string
	}{
		"another PVID": {func(h *rtnltest.Netns, port int) error {
			return h.AddVLAN(port, entry(30), rtnl.VLANFlags{PVID: true, Untagged: true}, false)
		}, "its PVID is 30, not 20"},
		"its VLAN taken": {func(h *rtnltest.Netns, port int) error { return h.DelVLAN(port, entry(20), false) }, "its PVID is none, not 20"},
		"tagged": {func(h *rtnltest.Netns, port int) error {
			return h.AddVLAN(port, entry(20), rtnl.VLANFlags{PVID: true}, false)
		}, "VLAN 20 is tagged, not untagged"},
		"another VLAN": {func(h *rtnltest.Netns, port int) error {
			return h.AddVLAN(port, entry(1), rtnl.VLANFlags{Untagged: true}, false)
		}, "it is in VLAN 1"},
		"a trunk's VLAN taken": {func(h *rtnltest.Netns, port int) error { return h.DelVLAN(port, entry(101), false) }, "it is not in VLAN 101"},
		"the entry of a VLAN taken": {func(h *rtnltest.Netns, port int) error {
			return h.Do(func() error {
				return netlink.NeighDel(&netlink.Neigh{
					LinkIndex: port, Family: unix.AF_BRIDGE, Flags: netlink.NTF_MASTER, Vlan: 20, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1},
				})
			})
		}, "no static entry"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newTrunk(t)
			flags := pod.PortFlags{VLANs: &pod.VLANs{PVID: 20, Tagged: []netconf.VLANRange{{First: 100, Last: 102}}}}
			s.attach(t, config(), flags)
			before := s.vlansOf(t)
			port := s.node.Must(t, s.spec.HostEnd).Attrs().Index
			must(t, c.change(s.node, port))

			err := pod.Verify(t.Context(), s.node.Handle, s.expected(config(), flags))
			if !hasCode(uint(leaseapi.CodeChanged))(err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Verify: %v; want one that says %q", err, c.says)
			}
			if _, secure, err := pod.Secured(s.node.Handle, port, s.spec.MAC, flags, nil); err != nil || secure {
				t.Errorf("Secured: %t, %v", secure, err)
			}
			if _, changed, err := pod.Secure(t.Context(), s.node.Handle, port, s.spec.MAC, flags, nil); err != nil || !changed {
				t.Errorf("Secure: changed %t, %v", changed, err)
			}
			if got := s.vlansOf(t); !slices.Equal(got, before) {
				t.Errorf("the port is in %+v, want %+v", got, before)
			}
			must(t, pod.Verify(t.Context(), s.node.Handle, s.expected(config(), flags)))
			if _, changed, err := pod.Secure(t.Context(), s.node.Handle, port, s.spec.MAC, flags, nil); err != nil || changed {
				t.Errorf("Secure, where all stands: changed %t, %v", changed, err)
			}
		})
	}
}

func TestABridgeThatDoesNotFilterAnyMoreIsTold(t *testing.T) {
	s := newTrunk(t)
	flags := pod.PortFlags{VLANs: &pod.VLANs{PVID: 20}}
	s.attach(t, config(), flags)
	filter(t, s, false)
	port := s.node.Must(t, s.spec.HostEnd).Attrs().Index
	if _, _, err := pod.Secure(t.Context(), s.node.Handle, port, s.spec.MAC, flags, nil); !errors.Is(err, pod.ErrNotFiltering) {
		t.Errorf("Secure: %v", err)
	}
	if err := pod.Verify(t.Context(), s.node.Handle, s.expected(config(), flags)); !hasCode(uint(leaseapi.CodeChanged))(err) {
		t.Errorf("Verify: %v", err)
	}
}
