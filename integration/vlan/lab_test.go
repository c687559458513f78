package vlan_test

import (
	"net"
	"testing"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
)

// The LAN is as described before anything of Podlan is on it.
func TestTheLabsVLANsAreApartAndTheirTagsAreSeen(t *testing.T) {
	t.Parallel()
	s := newSite(t, subinterface)
	tap := s.Tap("tap", 10, 20, 30)
	heard := tap.Capture("eth0", nil)
	onTrunk := s.trunk()
	for vid, h := range s.hosts {
		mac := net.HardwareAddr{2, 0, 0, 0, 1, byte(vid)}
		lease, err := h.DHCPClient(h.Iface, mac, nil).Lease(t.Context())
		if err != nil {
			t.Fatalf("VLAN %d: %v", vid, err)
		}
		awaitLease(t, s.server(vid), lease.Addr, mac)
		if vid != 0 && lease.ACK.DomainName() != s.vlans[vid].Domain() {
			t.Errorf("VLAN %d: the domain is %q", vid, lease.ACK.DomainName())
		}
		for where, capture := range map[string]*lab.Capture{"the tap": heard, "the node's cable": onTrunk} {
			f, err := capture.AwaitFrame(t.Context(), from(mac))
			if err == nil {
				err = wears(f, tagsOf(vid)...)
			}
			if err != nil {
				t.Errorf("%s: %v", where, err)
			}
		}
		must(t, h.DHCPClient(h.Iface, mac, nil).Release(lease))
		awaitRelease(t, s.server(vid), mac)
	}
	asks := question(net.HardwareAddr{2, 0, 0, 0, 2, 1}, s.hosts[10].Addr.Addr(), s.hosts[10].Addr.Addr(), "by hand")
	ear := s.hosts[20].Capture("eth0", nil)
	say(t, tap.Netns, "eth0", ether.Tagged(asks, tagsOf(20)...))
	if err := wears(awaitMark(t, ear, "by hand")); err != nil {
		t.Error(err)
	}
}

// Service tags around the hosts' own.
func TestTheLabsProviderSwitchCarriesVLANsWithinVLANs(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{Provider: true})
	v := l.VLAN(100, lab.VLANOptions{Inner: 10})
	h, node := v.Host("host"), l.Node("n1", lab.NodeOptions{})
	node.Trunk(100)
	onTrunk := l.Switch().Capture(node.SwitchPort, nil)
	mac := net.HardwareAddr{2, 0, 0, 0, 1, 1}
	if _, err := h.DHCPClient(h.Iface, mac, nil).Lease(t.Context()); err != nil {
		t.Fatal(err)
	}
	f, err := onTrunk.AwaitFrame(t.Context(), from(mac))
	if err == nil {
		err = wears(f, ether.Tag{TPID: ether.Dot1AD, VID: 100}, ether.Tag{TPID: ether.Dot1Q, VID: 10})
	}
	if err != nil {
		t.Error(err)
	}
}
