package vlan_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/dhcpd"
	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// renewSoon has what is granted anew be renewed after a second, and then as
// usual.
func renewSoon() dhcpd.Script {
	soon := dhcpd.Alter(func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptRenewTimeValue(time.Second)) })
	return func(req dhcpd.Request) ([]dhcpd.Reply, bool) {
		if req.Type != dhcpv4.MessageTypeRequest || req.CIAddr.IsValid() {
			return nil, false
		}
		return soon(req)
	}
}

// Two segments on one uplink, with the same addresses in both: each lease is
// renewed, kept over podland's restart and given back where it came from.
func TestALeaseLivesAndEndsOnItsVLAN(t *testing.T) {
	t.Parallel()
	rtnltest.NeedVLAN(t)
	for _, m := range modes() {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			s := newSiteWith(t, m, map[uint16]lab.VLANOptions{10: {}, 20: {ServerTagged: true}})
			vids := []uint16{10, 20}
			for _, vid := range vids {
				s.server(vid).Embedded().SetScript(renewSoon())
			}
			s.node.StartPodland()
			before := s.node.Snapshot()
			all := []resident{s.settle(t, "pod10", 10, leased()), s.settle(t, "pod20", 20, leased())}
			if all[0].addr != all[1].addr {
				t.Fatalf("%s and %s: the test wants the same address", all[0].addr, all[1].addr)
			}
			for _, r := range all {
				s.awaitRenewals(t, r, 1)
			}
			s.node.KillPodland()
			for _, vid := range vids {
				s.server(vid).Embedded().SetScript(nil)
			}
			s.node.StartPodland()
			for _, r := range all {
				must(t, s.node.Check(t.Context(), r.conf, r.Pod))
				reaches(t, s.hosts[r.vid].Netns, r.addr)
			}
			detach(t, s.node, all[0].conf, all[0].Pod)
			s.node.KillPodland()
			detach(t, s.node, all[1].conf, all[1].Pod) // a tombstone
			s.node.StartPodland()
			for i, r := range all {
				awaitRelease(t, s.server(r.vid), r.mac)
				if heard := s.server(all[1-i].vid).Heard(r.mac.String()); len(heard) > 0 {
					t.Errorf("VLAN %d's server heard %v of VLAN %d's Pod", all[1-i].vid, heard, r.vid)
				}
			}
			asBefore(t, s.node, before)
		})
	}
}

// awaitRenewals waits until the server heard n unicast renewals of the Pod's.
func (s *site) awaitRenewals(t *testing.T, r resident, n int) {
	t.Helper()
	err := s.server(r.vid).Embedded().Await(within(t), func(log []dhcpd.Entry) bool {
		renewals := slices.DeleteFunc(log, func(e dhcpd.Entry) bool {
			return e.Sent || e.Type != dhcpv4.MessageTypeRequest || !e.CIAddr.IsValid() || !e.UnicastL3() || e.MAC.String() != r.mac.String()
		})
		return len(renewals) >= n
	})
	if err != nil {
		t.Fatalf("renewal of %s: %v", r.Name(), err)
	}
}

// A server that hears a VLAN's DISCOVER by whatever mistake in the switch's
// configuration, and answers in another.
func TestRepliesOfAnotherVLANAreNeverAccepted(t *testing.T) {
	t.Parallel()
	rtnltest.NeedVLAN(t)
	for _, m := range modes() {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			s := newSiteWith(t, m, map[uint16]lab.VLANOptions{10: {}, 20: {Options: lab.Options{Server: lab.None}}})
			s.node.StartPodland()
			// The true server answers when the others have.
			others := make(chan struct{})
			s.server(10).Embedded().On(dhcpd.Discovering).Answer(dhcpd.Hold(others))
			all := []dhcpv4.MessageType{dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak}
			lied := s.liar(t, others, lie{dhcpv4.MessageTypeDiscover, all, wrongWays()})
			r := s.settle(t, "p1", 10, leased())
			must(t, <-lied)
			awaitLease(t, s.server(10), r.addr, r.mac)
			for _, e := range s.server(10).Embedded().Received(dhcpv4.MessageTypeRequest) {
				if poisoned().Contains(e.Requested) {
					t.Errorf("podland asked for %s", e.Requested)
				}
			}
			reaches(t, s.hosts[10].Netns, r.addr)

			// The same with the right tag is as good as the true server's.
			s.server(10).Embedded().On().Answer(dhcpd.Silent())
			rightWay := [][]ether.Tag{tagsOf(10)}
			lied = s.liar(t, nil,
				lie{dhcpv4.MessageTypeDiscover, all[:1], rightWay},
				lie{dhcpv4.MessageTypeRequest, all[1:2], rightWay})
			if r := s.settle(t, "p2", 10, leased()); !poisoned().Contains(r.addr) {
				t.Errorf("the Pod has %s: what is refused elsewhere is not heard at all", r.addr)
			}
			must(t, <-lied)
		})
	}
}

// poisoned are the addresses of a server that lies.
func poisoned() netip.Prefix { return netip.MustParsePrefix("198.18.66.0/24") }

// lie is what a server answers on another's VLAN.
type lie struct {
	hears dhcpv4.MessageType
	says  []dhcpv4.MessageType
	ways  [][]ether.Tag
}

// wrongWays are no tag, another VLAN's, and more than one.
func wrongWays() [][]ether.Tag {
	return [][]ether.Tag{
		nil,
		{{TPID: ether.Dot1Q, VID: 20}},
		{{TPID: ether.Dot1Q, PCP: 5}},
		{{TPID: ether.Dot1AD, VID: 10}},
		{{TPID: ether.Dot1Q, VID: 20}, {TPID: ether.Dot1Q, VID: 10}},
		{{TPID: ether.Dot1Q, VID: 10}, {TPID: ether.Dot1Q, VID: 10}},
		{{TPID: ether.Dot1Q, VID: 10}, {TPID: ether.Dot1AD, VID: 10}},
	}
}

// liar is a machine on a trunk that lies about VLAN 10, once each in turn, and
// then closes done.
func (s *site) liar(t *testing.T, done chan<- struct{}, all ...lie) <-chan error {
	t.Helper()
	s.liars++
	tap := s.Tap(fmt.Sprintf("liar%d", s.liars), 10, 20)
	mac := link(t, tap.Netns, "eth0").Attrs().HardwareAddr
	heard := tap.Capture("eth0", func(f ether.Frame) bool { return !f.Outgoing })
	ended := make(chan error, 1)
	go func() {
		if done != nil {
			defer close(done)
		}
		for _, l := range all {
			f, err := heard.AwaitFrame(t.Context(), func(f ether.Frame) bool {
				m, ok := f.Inner().DHCP()
				return ok && f.VID == 10 && m.MessageType() == l.hears
			})
			if err == nil {
				err = tap.Send("eth0", l.frames(f, mac)...)
			}
			if err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	return ended
}

// frames answer the client's message in each way, unicast and broadcast.
func (l lie) frames(message ether.Frame, server []byte) [][]byte {
	request, _ := message.Inner().DHCP()
	own := poisoned().Addr().Next()
	var frames [][]byte
	for _, kind := range l.says {
		m, err := dhcpv4.NewReplyFromRequest(request, dhcpv4.WithMessageType(kind), dhcpv4.WithServerIP(own.AsSlice()),
			dhcpv4.WithOption(dhcpv4.OptServerIdentifier(own.AsSlice())), dhcpv4.WithYourIP(own.Next().AsSlice()),
			dhcpv4.WithNetmask([]byte{255, 255, 0, 0}), dhcpv4.WithLeaseTime(3600))
		if err != nil {
			continue
		}
		for _, dst := range [][]byte{request.ClientHWAddr, ether.Broadcast()} {
			frame := ether.UDPFrame(dst, server, ether.UDP{
				Src:     netip.AddrPortFrom(own, dhcpv4.ServerPort),
				Dst:     netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), dhcpv4.ClientPort),
				Payload: m.ToBytes(),
			})
			for _, tags := range l.ways {
				frames = append(frames, ether.Tagged(frame, tags...))
			}
		}
	}
	return frames
}

// Where the uplink carries the VLAN untagged, so does podland.
func TestOnTheUplinksNativeVLANPodlandSpeaksWithoutATag(t *testing.T) {
	t.Parallel()
	s := newSiteWith(t, filtering, map[uint16]lab.VLANOptions{10: {}, 20: {}})
	// The administrator has made VLAN 10 the cable's native one, at both ends.
	s.node.Native(10)
	must(t, s.node.SetVLAN("eth1", lab.PortVLAN{VID: 10, PVID: true, Untagged: true}, false))
	must(t, s.node.DropVLAN("eth1", 1, false))
	s.node.StartPodland()
	before := s.node.Snapshot()
	onTrunk := s.trunk()
	native, tagged := s.settle(t, "native", 10, leased()), s.settle(t, "tagged", 20, leased())
	for _, r := range []resident{native, tagged} {
		awaitLease(t, s.server(r.vid), r.addr, r.mac)
		isAt(t, s.hosts[r.vid], r.addr, r.mac)
		reaches(t, r.Netns, s.hosts[r.vid].Addr.Addr())
		must(t, s.node.Check(t.Context(), r.conf, r.Pod))
		detach(t, s.node, r.conf, r.Pod)
		awaitRelease(t, s.server(r.vid), r.mac)
	}
	asBefore(t, s.node, before)
	native.vid = 0 // on the wire
	s.nothingStray(t, onTrunk, []resident{native, tagged})
}

// An address in use on a VLAN is a conflict there, and none on another.
func TestAnAddressInUseIsAConflictOnItsVLANAlone(t *testing.T) {
	t.Parallel()
	rtnltest.NeedVLAN(t)
	for _, m := range modes() {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			s := newSiteWith(t, m, map[uint16]lab.VLANOptions{10: {}, 20: {}})
			s.node.StartPodland()
			next := netip.MustParseAddr("198.18.1.0") // the first that each server grants
			must(t, s.hosts[20].AddAddress("eth0", netip.PrefixFrom(next, 16)))
			wait := object{"type": "podlan-dhcp", "conflict": "wait"}
			budget := object{"budget": "100s"}
			free := s.settle(t, "free", 10, wait, budget)
			if free.addr != next {
				t.Errorf("on VLAN 10 the Pod has %s, want %s", free.addr, next)
			}
			if declined := s.server(10).Declined(); len(declined) > 0 {
				t.Errorf("declined on VLAN 10: %v", declined)
			}
			taken := s.settle(t, "taken", 20, wait, budget)
			if taken.addr == next {
				t.Errorf("on VLAN 20 the Pod has %s, which a host there has", taken.addr)
			}
			if declined := s.server(20).Declined(); !slices.Equal(declined, []netip.Addr{next}) {
				t.Errorf("declined on VLAN 20: %v, want %s", declined, next)
			}
			isAt(t, s.hosts[10], free.addr, free.mac)
			isAt(t, s.hosts[20], taken.addr, taken.mac)
		})
	}
}

// podlan-dhcp serves other main plugins, which bring Pods onto VLANs in their own
// ways.
func TestPodlanDHCPServesTheReferencesVLANPlugins(t *testing.T) {
	t.Parallel()
	rtnltest.NeedVLAN(t)
	cases := map[string]struct {
		mode mode
		keys object
	}{
		"bridge":                    {filtering, object{"type": "bridge", "vlan": 10, "uplink": "eth1"}},
		"bridge, the uplink found":  {filtering, object{"type": "bridge", "vlan": 10}},
		"vlan":                      {subinterface, object{"type": "vlan", "master": "eth1", "vlanId": 10}},
		"macvlan on a VLAN device":  {subinterface, object{"type": "macvlan", "master": "eth1.10", "mode": "bridge"}},
		"bridge over a VLAN device": {subinterface, object{"type": "bridge", "bridge": "vlan10"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSiteWith(t, c.mode, map[uint16]lab.VLANOptions{10: {}, 20: {}})
			// What those plugins leave to the administrator.
			switch {
			case c.mode == filtering:
				must(t, s.node.SetVLAN("eth1", lab.PortVLAN{VID: 10}, false))
			case c.keys["type"] != "vlan":
				must(t, s.node.AddVLANLink("eth1", "eth1.10", 10, ether.Dot1Q))
			}
			if c.keys["bridge"] != nil {
				must(t, s.node.AddBridge("vlan10", false))
				must(t, s.node.Enslave("eth1.10", "vlan10"))
			}
			s.node.StartPodland()
			conf := network(s.node, leased(), object{"cniVersion": "1.0.0"}, c.keys)
			pod := s.node.Pod("p1")
			addr := address(t, attach(t, s.node, conf, pod))
			mac := link(t, pod.Netns, "eth0").Attrs().HardwareAddr
			awaitLease(t, s.server(10), addr, mac)
			isAt(t, s.hosts[10], addr, mac)
			reaches(t, pod.Netns, s.hosts[10].Addr.Addr())
			detach(t, s.node, conf, pod)
			awaitRelease(t, s.server(10), mac)
			if heard := s.server(20).Heard(mac.String()); len(heard) > 0 {
				t.Errorf("VLAN 20's server heard %v", heard)
			}
		})
	}
}

// Asked from the Pod the bridge and the uplink tag what the Pod says, and podland
// says nothing by itself.
func TestALeaseAskedFromThePodIsItsVLANs(t *testing.T) {
	t.Parallel()
	rtnltest.NeedVLAN(t)
	for _, m := range modes() {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			s := newSiteWith(t, m, map[uint16]lab.VLANOptions{10: {}, 20: {}})
			s.node.StartPodland()
			before := s.node.Snapshot()
			onTrunk := s.trunk()
			r := s.settle(t, "p1", 10, object{"type": "podlan-dhcp", "dhcpFrom": "pod"})
			awaitLease(t, s.server(10), r.addr, r.mac)
			isAt(t, s.hosts[10], r.addr, r.mac)
			must(t, s.node.Check(t.Context(), r.conf, r.Pod))
			detach(t, s.node, r.conf, r.Pod)
			awaitRelease(t, s.server(10), r.mac)
			asBefore(t, s.node, before)
			s.nothingStray(t, onTrunk, []resident{r})
		})
	}
}
