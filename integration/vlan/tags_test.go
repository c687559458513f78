package vlan_test

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// forged are tags that a Pod of VLAN 10 may try by hand (threat 12 of
// ../shared/research/safety.md §1).
func forged() map[string][]ether.Tag {
	q := func(vid uint16) ether.Tag { return ether.Tag{TPID: ether.Dot1Q, VID: vid} }
	ad := func(vid uint16) ether.Tag { return ether.Tag{TPID: ether.Dot1AD, VID: vid} }
	return map[string][]ether.Tag{
		"its own tag":                   {q(10)},
		"another VLAN's":                {q(20)},
		"the native VLAN's":             {q(1)},
		"a VID that nobody has":         {q(4094)},
		"the reserved VID":              {q(4095)},
		"a priority tag":                {{TPID: ether.Dot1Q, PCP: 7}},
		"priority of a service tag":     {{TPID: ether.Dot1AD, PCP: 7}},
		"a service tag":                 {ad(20)},
		"a service and a VLAN tag":      {ad(10), q(20)},
		"two tags, its own outside":     {q(10), q(20)},
		"two tags, the native outside":  {q(1), q(20)},
		"two tags, a priority outside":  {q(0), q(20)},
		"an unnumbered tag, old QinQ's": {{TPID: 0x9100, VID: 20}},
	}
}

// made are VLAN devices that a Pod may make, on eth0 or on one another.
func made() map[string]struct {
	on            string
	vid, protocol uint16
} {
	type device = struct {
		on            string
		vid, protocol uint16
	}
	return map[string]device{
		"own":     {"eth0", 10, ether.Dot1Q},
		"other":   {"eth0", 20, ether.Dot1Q},
		"native":  {"eth0", 1, ether.Dot1Q},
		"service": {"eth0", 20, ether.Dot1AD},
		"within":  {"own", 20, ether.Dot1Q}, // after "own" in alphabetical order
	}
}

// forge has the Pod send a frame with each of the tags, by hand and by a VLAN
// device, and an honest one last, which ear hears.
func (r resident) forge(t *testing.T, target netip.Addr, ear *lab.Capture) (names []string) {
	t.Helper()
	var frames [][]byte
	for name, tags := range forged() {
		names = append(names, "by hand: "+name)
		frames = append(frames, ether.Tagged(question(r.mac, r.addr, target, "by hand: "+name), tags...))
	}
	say(t, r.Netns, "eth0", frames...)
	for _, name := range slices.Sorted(maps.Keys(made())) {
		d := made()[name]
		must(t, r.AddVLANLink(d.on, name, d.vid, d.protocol))
		mark := "by a VLAN device: " + name
		names = append(names, mark)
		say(t, r.Netns, name, question(r.mac, r.addr, target, mark))
	}
	say(t, r.Netns, "eth0", question(r.mac, r.addr, target, honest))
	awaitMark(t, ear, honest)
	slices.Sort(names)
	return names
}

const honest = "an honest question"

// passed are the marks among names that a capture has heard.
func passed(c *lab.Capture, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return len(ofMark(c, name)) == 0 })
}

func TestGuardATaggedFrameOfAPodReachesNothing(t *testing.T) {
	t.Parallel()
	rtnltest.NeedVLAN(t)
	for _, m := range modes() {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			s := newStaticSite(t, m, 10, 20)
			attacker := s.settle(t, "p1", 10, hostLocal())
			ears := s.surround(t, attacker, s.settle(t, "p2", 10, hostLocal()), s.settle(t, "p3", 20, hostLocal()))
			names := attacker.forge(t, s.hosts[10].Addr.Addr(), ears["the trunk"])
			for where, ear := range ears {
				if came := passed(ear, names); len(came) > 0 {
					t.Errorf("%s hears %q", where, came)
				}
			}
			reaches(t, s.hosts[10].Netns, attacker.addr)
		})
	}
}

// surround listens wherever a Pod's frames could come to.
func (s *site) surround(t *testing.T, attacker resident, others ...resident) map[string]*lab.Capture {
	t.Helper()
	ears := map[string]*lab.Capture{"the trunk": s.trunk()}
	for _, h := range s.hosts {
		ears[h.Name()] = h.Capture(h.Iface, nil)
	}
	for _, r := range others {
		ears[r.Name()] = r.Capture("eth0", nil)
	}
	bridge := link(t, s.node.Netns, attacker.port).Attrs().MasterIndex
	ears["the node"] = s.node.Capture("", func(f ether.Frame) bool { return f.IfIndex == bridge })
	return ears
}

// Without a guard it is the bridge that keeps VLANs apart: what has the port's
// own VID, or none that counts, goes there, and everything else nowhere.
func TestWithoutAGuardAFilteringBridgeKeepsAPodInItsVLAN(t *testing.T) {
	t.Parallel()
	s := newStaticSite(t, filtering, 10, 20)
	attacker := s.settle(t, "p1", 10, hostLocal(), object{"guard": "off"})
	neighbour := s.settle(t, "p2", 20, hostLocal())
	ears := s.surround(t, attacker, neighbour)
	names := attacker.forge(t, s.hosts[10].Addr.Addr(), ears["the trunk"])
	want := []string{
		"by a VLAN device: own", "by a VLAN device: service", "by a VLAN device: within",
		"by hand: a priority tag", "by hand: a service and a VLAN tag", "by hand: a service tag",
		"by hand: an unnumbered tag, old QinQ's", "by hand: its own tag",
		"by hand: priority of a service tag", "by hand: two tags, a priority outside", "by hand: two tags, its own outside",
	}
	if diff := cmp.Diff(want, passed(ears["the trunk"], names)); diff != "" {
		t.Errorf("on the trunk (-want +got):\n%s", diff)
	}
	for _, f := range ears["the trunk"].All() {
		if tags := f.Tags(); !f.Outgoing && from(attacker.mac)(f) && (len(tags) == 0 || tags[0].TPID != ether.Dot1Q || tags[0].VID != 10) {
			t.Errorf("%s left the node, and not in VLAN 10", f)
		}
	}
	for _, where := range []string{"host0", "host20", neighbour.Name()} {
		if came := passed(ears[where], names); len(came) > 0 {
			t.Errorf("%s hears %s", where, strings.Join(came, ", "))
		}
	}
}
