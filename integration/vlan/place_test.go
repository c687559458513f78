package vlan_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// resident is a Pod on a VLAN.
type resident struct {
	*lab.Pod
	vid  uint16
	conf []byte
	mac  net.HardwareAddr
	addr netip.Addr
	port string
}

// settle attaches a Pod on the VLAN, with an address of IPAM.
func (s *site) settle(t *testing.T, name string, vid uint16, ipam object, keys ...object) resident {
	t.Helper()
	r := resident{Pod: s.node.Pod(name), vid: vid, conf: network(s.node, ipam, append([]object{s.mode.keys(vid)}, keys...)...)}
	result := attach(t, s.node, r.conf, r.Pod)
	r.mac, r.addr, r.port = podMAC(t, result), address(t, result), hostEnd(result)
	return r
}

// Every VLAN's server gives the same addresses, so that who answers for one, and
// what a server holds, tells the VLANs apart.
func TestAPodHasItsVLANsAddressAndReachesThatVLANAlone(t *testing.T) {
	t.Parallel()
	rtnltest.NeedVLAN(t)
	for _, m := range modes() {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, m)
			s.node.StartPodland()
			before := s.node.Snapshot()
			onTrunk := s.trunk()
			all := s.moveIn(t, onTrunk)
			s.moveOut(t, all)
			asBefore(t, s.node, before)
			s.nothingStray(t, onTrunk, all) // RELEASEs among it
		})
	}
}

// moveIn attaches a Pod on each VLAN that the mode has, and looks at all of them
// from everywhere.
func (s *site) moveIn(t *testing.T, onTrunk *lab.Capture) (all []resident) {
	t.Helper()
	for _, vid := range s.mode.vids() {
		all = append(all, s.arrives(t, vid))
	}
	s.talks(t, onTrunk, all)
	s.listens(t, all)
	s.nothingStray(t, onTrunk, all)
	return all
}

// moveOut detaches them: each VLAN's server gets its lease back.
func (s *site) moveOut(t *testing.T, all []resident) {
	t.Helper()
	for _, r := range all {
		must(t, s.node.Check(t.Context(), r.conf, r.Pod))
		detach(t, s.node, r.conf, r.Pod)
		awaitRelease(t, s.server(r.vid), r.mac)
	}
}

// arrives attaches a Pod and looks at it from its VLAN.
func (s *site) arrives(t *testing.T, vid uint16) resident {
	t.Helper()
	r := s.settle(t, fmt.Sprintf("pod%d", vid), vid, leased())
	awaitLease(t, s.server(vid), r.addr, r.mac)
	for other, v := range s.vlans {
		for _, l := range v.Server().ActiveLeases() {
			if other != vid && l.MAC == r.mac.String() {
				t.Errorf("VLAN %d has a lease of VLAN %d's Pod", other, vid)
			}
		}
	}
	isAt(t, s.hosts[vid], r.addr, r.mac)
	reaches(t, s.hosts[vid].Netns, r.addr)
	reaches(t, r.Netns, s.hosts[vid].Addr.Addr())
	return r
}

// talks has every Pod say something to everybody, which is heard in its VLAN
// alone.
func (s *site) talks(t *testing.T, onTrunk *lab.Capture, all []resident) {
	t.Helper()
	ears := map[uint16]*lab.Capture{}
	for vid, h := range s.hosts {
		ears[vid] = h.Capture(h.Iface, nil)
	}
	for _, r := range all {
		mark := fmt.Sprintf("said by the Pod of VLAN %d", r.vid)
		say(t, r.Netns, "eth0", question(r.mac, r.addr, s.hosts[r.vid].Addr.Addr(), mark))
		awaitMark(t, ears[r.vid], mark)
		if err := wears(awaitMark(t, onTrunk, mark), tagsOf(r.vid)...); err != nil {
			t.Error(err)
		}
	}
	for vid, ear := range ears {
		for _, r := range all {
			if mark := fmt.Sprintf("said by the Pod of VLAN %d", r.vid); r.vid != vid && len(ofMark(ear, mark)) > 0 {
				t.Errorf("VLAN %d hears what was %s", vid, mark)
			}
		}
	}
}

// listens has every host say something to everybody, which the Pod of its VLAN
// alone hears, without a tag.
func (s *site) listens(t *testing.T, all []resident) {
	t.Helper()
	mark := func(vid uint16) string { return fmt.Sprintf("said by the host of VLAN %d", vid) }
	var ears []*lab.Capture
	for _, r := range all {
		ears = append(ears, r.Capture("eth0", nil))
	}
	for vid, h := range s.hosts {
		mac := link(t, h.Netns, h.Iface).Attrs().HardwareAddr
		say(t, h.Netns, h.Iface, question(mac, h.Addr.Addr(), h.Addr.Addr(), mark(vid)))
	}
	for i, r := range all {
		if err := wears(awaitMark(t, ears[i], mark(r.vid))); err != nil {
			t.Error(err)
		}
	}
	for i, r := range all {
		for vid := range s.hosts {
			if vid != r.vid && len(ofMark(ears[i], mark(vid))) > 0 {
				t.Errorf("the Pod of VLAN %d hears what was %s", r.vid, mark(vid))
			}
		}
	}
}

// nothingStray checks the tags of whatever left the node: what is a Pod's, or
// said for it, has its VLAN's. The node itself says nothing there but what
// podland asks about a Pod's address and what a bridge that snoops says from no
// address.
func (s *site) nothingStray(t *testing.T, onTrunk *lab.Capture, all []resident) {
	t.Helper()
	vidOf := map[string]uint16{}
	for _, r := range all {
		vidOf[r.mac.String()] = r.vid
	}
	for _, f := range onTrunk.All() {
		vid, ofPod := vidOf[f.Src.String()]
		switch {
		case f.Outgoing: // from the switch
		case ofPod || len(f.Tags()) == 0:
			if err := wears(f, tagsOf(vid)...); err != nil {
				t.Error(err)
			}
		case !isForAPod(f, all):
			t.Errorf("the node is on a VLAN: %s", f)
		}
	}
}

// isForAPod tells whether the node's own tagged frame is one that Pods need.
func isForAPod(f ether.Frame, all []resident) bool {
	if packet, ok := f.Inner().IPv4(); ok {
		return packet.Protocol == unix.IPPROTO_IGMP && packet.Src.IsUnspecified()
	}
	arp, ok := f.Inner().ARP()
	return ok && arp.Op == ether.ARPRequest && slices.ContainsFunc(all, func(r resident) bool {
		sender := arp.SenderIP.IsUnspecified() || arp.SenderIP == r.addr
		return sender && arp.TargetIP == r.addr && slices.Equal(f.Tags(), tagsOf(r.vid))
	})
}

// A NIC can carry untagged Pods by a bridge of its own and VLANs beside it.
func TestASubinterfaceOfABridgesPortWorksBesideTheBridge(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{Server: lab.None})
	static := lab.VLANOptions{Options: lab.Options{Server: lab.None}}
	here, there := l.Host("host0"), l.VLAN(10, static).Host("host10")
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.Trunk(10)
	before := node.Snapshot()
	untagged, tagged := node.Pod("untagged"), node.Pod("tagged")
	plain := network(node, hostLocal())
	vlan := network(node, hostLocal(), object{"name": "vlan", "bridge": "pods", "uplink": "eth1", "vlan": 10})
	a, b := attach(t, node, plain, untagged), attach(t, node, vlan, tagged)
	if address(t, a) != address(t, b) {
		t.Fatalf("%s and %s: the test wants the same address in both", address(t, a), address(t, b))
	}
	isAt(t, here, address(t, a), podMAC(t, a))
	isAt(t, there, address(t, b), podMAC(t, b))
	detach(t, node, plain, untagged)
	isAt(t, there, address(t, b), podMAC(t, b))
	detach(t, node, vlan, tagged)
	asBefore(t, node, before)
}
