package vlan_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// A Pod with VLANs 20 to 21 and 30 beside its own 10, and VLAN devices for two
// of them.
func TestATrunkToThePodCarriesExactlyItsTags(t *testing.T) {
	t.Parallel()
	s := newSiteWith(t, filtering, map[uint16]lab.VLANOptions{10: {}, 20: {}, 30: {}, 40: {}})
	s.node.StartPodland()
	before := s.node.Snapshot()
	within := map[uint16]netip.Prefix{20: netip.MustParsePrefix("198.18.50.20/16"), 30: netip.MustParsePrefix("198.18.50.30/16")}
	r := s.settle(t, "p1", 10, leased(), object{"vlanTrunk": []object{{"minID": 20, "maxID": 21}, {"id": 30}}})
	must(t, s.node.Check(t.Context(), r.conf, r.Pod))
	onTrunk, ear := s.trunk(), r.Capture("eth0", nil)

	s.hearsItsTags(t, ear, 10, 20, 30)
	s.saysItsTags(t, onTrunk, r)

	reaches(t, s.hosts[10].Netns, r.addr)
	for vid, addr := range within {
		name := fmt.Sprintf("eth0.%d", vid)
		must(t, r.AddVLANLink("eth0", name, vid, ether.Dot1Q))
		// The Pod has its own VLAN's subnet on eth0, too.
		must(t, r.DelAddress("eth0", netip.PrefixFrom(r.addr, 16)))
		must(t, r.AddAddress(name, addr))
		isAt(t, s.hosts[vid], addr.Addr(), r.mac)
		reaches(t, s.hosts[vid].Netns, addr.Addr())
		must(t, r.DelAddress(name, addr))
		must(t, r.AddAddress("eth0", netip.PrefixFrom(r.addr, 16)))
	}
	detach(t, s.node, r.conf, r.Pod)
	asBefore(t, s.node, before)
}

// hearsItsTags has every host speak: the Pod hears its own VLAN without a tag,
// the trunk's with theirs, and no other.
func (s *site) hearsItsTags(t *testing.T, ear *lab.Capture, untagged uint16, tagged ...uint16) {
	t.Helper()
	mark := func(vid uint16) string { return fmt.Sprintf("said in VLAN %d", vid) }
	for vid, h := range s.hosts {
		mac := link(t, h.Netns, h.Iface).Attrs().HardwareAddr
		say(t, h.Netns, h.Iface, question(mac, h.Addr.Addr(), h.Addr.Addr(), mark(vid)))
	}
	hears := map[uint16][]ether.Tag{untagged: nil}
	for _, vid := range tagged {
		hears[vid] = tagsOf(vid)
	}
	for vid, tags := range hears {
		if err := wears(awaitMark(t, ear, mark(vid)), tags...); err != nil {
			t.Error(err)
		}
	}
	for vid := range s.hosts {
		if _, ok := hears[vid]; !ok && len(ofMark(ear, mark(vid))) > 0 {
			t.Errorf("the Pod hears what was %s", mark(vid))
		}
	}
}

// saysItsTags has the Pod speak with every tag: on the node's cable are those of
// its trunk, and what it says without.
func (s *site) saysItsTags(t *testing.T, onTrunk *lab.Capture, r resident) {
	t.Helper()
	host := s.hosts[r.vid].Addr.Addr()
	mark := func(vid uint16) string { return fmt.Sprintf("said with the tag %d", vid) }
	asks := func(text string) []byte { return question(r.mac, r.addr, host, text) }
	var frames [][]byte
	tried := []uint16{1, 10, 19, 20, 21, 22, 30, 40}
	for _, vid := range tried {
		frames = append(frames, ether.Tagged(asks(mark(vid)), tagsOf(vid)...))
	}
	double := ether.Tagged(asks("said with two tags"), ether.Tag{TPID: ether.Dot1Q, VID: 20}, ether.Tag{TPID: ether.Dot1Q, VID: 40})
	say(t, r.Netns, "eth0", append(frames, double, asks(honest))...)
	if err := wears(awaitMark(t, onTrunk, honest), tagsOf(r.vid)...); err != nil {
		t.Error(err)
	}
	passed := slices.DeleteFunc(tried, func(vid uint16) bool {
		frames := ofMark(onTrunk, mark(vid))
		for _, f := range frames {
			if err := wears(f, tagsOf(vid)...); err != nil {
				t.Error(err)
			}
		}
		return len(frames) == 0
	})
	if diff := cmp.Diff([]uint16{20, 21, 30}, passed); diff != "" {
		t.Errorf("tags that left the node (-want +got):\n%s", diff)
	}
	if len(ofMark(onTrunk, "said with two tags")) > 0 {
		t.Error("a frame with a tag within a tag left the node")
	}
}

// Without `vlan` the Pod's own VLAN is the bridge's default.
func TestATrunkWithoutAVLANLeavesThePodInTheDefaultOne(t *testing.T) {
	t.Parallel()
	s := newStaticSite(t, filtering, 10, 20)
	before := s.node.Snapshot()
	conf := network(s.node, hostLocal(), object{"uplink": "eth1", "vlanTrunk": []object{{"id": 20}}})
	pod := s.node.Pod("p1")
	result := attach(t, s.node, conf, pod)
	isAt(t, s.hosts[0], address(t, result), podMAC(t, result))
	s.hearsItsTags(t, pod.Capture("eth0", nil), 0, 20)
	detach(t, s.node, conf, pod)
	asBefore(t, s.node, before)
}

// A VLAN within a provider's: 802.1ad outside, 802.1Q inside.
func TestQinQHasBothTagsOnTheWire(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{Provider: true, Server: lab.None})
	outer := l.VLAN(100, lab.VLANOptions{Inner: 10})
	host, node := outer.Host("host"), l.Node("n1", lab.NodeOptions{})
	node.Trunk(100)
	node.StartPodland()
	before := node.Snapshot()
	onTrunk := l.Switch().Capture(node.SwitchPort, nil)
	conf := network(node, leased(), object{"uplink": "eth1", "vlan": 10, "outerVlan": 100})
	first, second := node.Pod("p1"), node.Pod("p2")
	result := attach(t, node, conf, first)
	other := attach(t, node, conf, second)
	addr, mac := address(t, result), podMAC(t, result)
	awaitLease(t, outer.Server(), addr, mac)
	isAt(t, host, addr, mac)
	reaches(t, host.Netns, addr)
	reaches(t, first.Netns, address(t, other))
	must(t, node.Check(t.Context(), conf, first))
	if mtu := link(t, first.Netns, "eth0").Attrs().MTU; mtu != 1496 {
		t.Errorf("the Pod's MTU is %d, want the NIC's 1500 less the inner tag's 4", mtu)
	}
	carries(t, first, host, 1496)
	detach(t, node, conf, first)
	reaches(t, host.Netns, address(t, other))
	detach(t, node, conf, second)
	awaitRelease(t, outer.Server(), mac)
	asBefore(t, node, before)
	both := []ether.Tag{{TPID: ether.Dot1AD, VID: 100}, {TPID: ether.Dot1Q, VID: 10}}
	for _, f := range onTrunk.All() {
		ofPods := from(mac)(f) || from(podMAC(t, other))(f)
		if err := wears(f, both...); !f.Outgoing && (ofPods || len(f.Tags()) > 0) && err != nil {
			t.Error(err)
		}
	}
}

// carries checks that a packet as large as the MTU arrives.
func carries(t *testing.T, pod *lab.Pod, host *lab.Host, mtu int) {
	t.Helper()
	const headers = 28 // IPv4's and UDP's
	ear := host.Capture(host.Iface, func(f ether.Frame) bool {
		ip, ok := f.IPv4()
		return ok && len(ip.Payload) == mtu-20
	})
	conn, err := pod.Dial(t.Context(), "udp", netip.AddrPortFrom(host.Addr.Addr(), 9).String())
	must(t, err)
	defer conn.Close()
	_, err = conn.Write(make([]byte, mtu-headers))
	must(t, err)
	if _, err := ear.AwaitFrame(t.Context(), func(ether.Frame) bool { return true }); err != nil {
		t.Errorf("a packet of %d bytes: %v", mtu, err)
	}
}

// A single tag costs the Pod nothing: NICs and switches allow for it.
func TestASingleTagLeavesThePodTheNICsMTU(t *testing.T) {
	t.Parallel()
	rtnltest.NeedVLAN(t)
	for _, m := range modes() {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			s := newStaticSite(t, m, 10)
			r := s.settle(t, "p1", 10, hostLocal())
			if mtu := link(t, r.Netns, "eth0").Attrs().MTU; mtu != 1500 {
				t.Errorf("the Pod's MTU is %d, want the NIC's 1500", mtu)
			}
			carries(t, r.Pod, s.hosts[10], 1500)
		})
	}
}
