package integration_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
)

// siege is a LAN with a host, a node and two Pods of it, the first of which
// attacks.
type siege struct {
	attacker
	client    *lab.Host
	node      *lab.Node
	pod, next *lab.Pod
	conf      []byte
	port      string // the attacker's host end
	marks     int
}

func dualStack() object {
	return object{"type": "host-local", "ranges": [][]object{
		{{"subnet": "198.18.0.0/16", "rangeStart": "198.18.77.1", "rangeEnd": "198.18.77.200"}},
		{{"subnet": lan6, "rangeStart": "2001:db8:18::100"}},
	}}
}

func newSiege(t *testing.T) *siege {
	t.Helper()
	s := &siege{}
	s.client, s.node = lanWithoutDHCP(t)
	onLAN6(t, s.client)
	s.pod, s.next = s.node.Pod("p1"), s.node.Pod("p2")
	s.conf = network(s.node, dualStack(), object{"enabledad": true})
	neighbour := attach(t, s.node, s.conf, s.next)
	s.neighbour = addressOf(t, neighbour.IPs[0].Address)
	s.gateway = link(t, s.client.Netns, s.client.Iface).Attrs().HardwareAddr
	s.router = s.client.Addr.Addr()
	return s
}

func addressOf(t *testing.T, n net.IPNet) netip.Addr {
	t.Helper()
	addr, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		t.Fatalf("%v is no address", n)
	}
	return addr.Unmap()
}

// begin attaches the attacker.
func (s *siege) begin(t *testing.T) {
	t.Helper()
	result := attach(t, s.node, s.conf, s.pod)
	s.own, s.own6 = addressOf(t, result.IPs[0].Address), addressOf(t, result.IPs[1].Address)
	s.mac = link(t, s.pod.Netns, "eth0").Attrs().HardwareAddr
	s.linkLocal = netip.AddrFrom16([16]byte{0xfe, 0x80, 8: s.mac[0] ^ 2, s.mac[1], s.mac[2], 0xff, 0xfe, s.mac[3], s.mac[4], s.mac[5]})
	s.port = result.Interfaces[1].Name
}

// heard are the marks of the frames that came to the LAN host, the node's own
// stack or another Pod.
type heard map[string]*lab.Capture

func (s *siege) listen(want func(ether.Frame) bool) heard {
	return heard{
		"the LAN":     s.client.Capture(s.client.Iface, want),
		"the node":    s.node.Capture("lan0", want),
		"another Pod": s.next.Capture("eth0", want),
	}
}

// send puts the frames on the wire in order, each with a mark, and returns the
// marks by name. It keeps to one processor: a veth's frames wait in the queue of
// the one that sent them.
func (s *siege) send(t *testing.T, from *lab.Pod, names []string, frames map[string][]byte) map[string]string {
	t.Helper()
	marks := make(map[string]string)
	index := link(t, from.Netns, "eth0").Attrs().Index
	err := from.Do(func() error {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var before, one unix.CPUSet
		if err := unix.SchedGetaffinity(0, &before); err != nil {
			return err
		}
		for cpu := 0; one.Count() == 0; cpu++ {
			if before.IsSet(cpu) {
				one.Set(cpu)
			}
		}
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			return err
		}
		defer func() { _ = unix.SchedSetaffinity(0, &before) }()
		sock, err := ether.Open(index, ether.All, nil)
		if err != nil {
			return err
		}
		defer sock.Close()
		for _, name := range names {
			s.marks++
			marks[name] = fmt.Sprintf("mark %11d", s.marks)
			if err := sock.Send(append(bytes.Clone(frames[name]), marks[name]...)); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return marks
}

func bears(mark string) func(ether.Frame) bool {
	return func(f ether.Frame) bool { return bytes.HasSuffix(f.Payload, []byte(mark)) }
}

// last is the name of the honest frame that follows the others: what has not
// come before it was dropped.
const last = "an honest ARP request"

func (s *siege) attack(t *testing.T, frames map[string][]byte) (got heard, marks map[string]string) {
	t.Helper()
	got = s.listen(nil)
	names := make([]string, 0, len(frames)+1)
	for name := range frames {
		names = append(names, name)
	}
	frames[last] = s.honest()
	marks = s.send(t, s.pod, append(names, last), frames)
	for where, capture := range got {
		if _, err := capture.AwaitFrame(t.Context(), bears(marks[last])); err != nil {
			t.Fatalf("%s does not hear %s: %v", where, last, err)
		}
	}
	return got, marks
}

// checkForwarding fails the test if the bridge has learned anything from the
// attacker's port.
func (s *siege) checkForwarding(t *testing.T) {
	t.Helper()
	h, err := s.node.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := h.NeighList(link(t, s.node.Netns, s.port).Attrs().Index, unix.AF_BRIDGE)
	if err != nil {
		t.Fatal(err)
	}
	own := link(t, s.node.Netns, s.port).Attrs().HardwareAddr.String()
	for _, e := range entries {
		if mac := e.HardwareAddr.String(); mac != s.mac.String() && mac != own && e.HardwareAddr[0]&1 == 0 {
			t.Errorf("the bridge has %s at the attacker's port", mac)
		}
	}
}

func TestGuardNoAttackGetsBeyondThePort(t *testing.T) {
	t.Parallel()
	s := newSiege(t)
	s.begin(t)
	got, marks := s.attack(t, s.frames())
	for where, capture := range got {
		for name, mark := range marks {
			if name != last && slices.ContainsFunc(capture.All(), bears(mark)) {
				t.Errorf("%s came to %s", name, where)
			}
		}
	}
	s.checkForwarding(t)
	reaches(t, s.client, s.own)
	reaches(t, s.client, s.neighbour)
}

// Row 3: a thousand MACs.
func TestGuardAFloodOfMACsTeachesTheBridgeNothing(t *testing.T) {
	t.Parallel()
	s := newSiege(t)
	s.begin(t)
	frames := make(map[string][]byte)
	for i := range 1000 {
		mac := net.HardwareAddr{2, 0xee, 0xee, 0, byte(i >> 8), byte(i)}
		frames[mac.String()] = rawEthernet(ether.Broadcast(), mac, etherIP4, ip4Packet(s.own, s.router, protoUDP, 0, nil, udpSegment(1, 2, nil)))
	}
	got, _ := s.attack(t, frames)
	for where, capture := range got {
		if slices.ContainsFunc(capture.All(), func(f ether.Frame) bool { return f.Src[1] == 0xee && f.Src[2] == 0xee }) {
			t.Errorf("some came to %s", where)
		}
	}
	s.checkForwarding(t)
}

// Row 15: what passes is the burst and what the time allows.
func TestGuardAStormIsHeldToThePortsRate(t *testing.T) {
	t.Parallel()
	const sent, burst, rate = 2000, 50, 100
	s := newSiege(t)
	s.begin(t)
	isStorm := func(f ether.Frame) bool { return f.EtherType == etherARP && bytes.Contains(f.Payload, []byte("mark ")) }
	onLAN := s.client.Capture(s.client.Iface, isStorm)
	names, frames := make([]string, 0, sent), make(map[string][]byte)
	for i := range sent {
		names = append(names, fmt.Sprint(i))
		frames[names[i]] = s.honest()
	}
	began := time.Now()
	s.send(t, s.pod, names, frames)
	allowed := burst + rate*int(time.Since(began)/time.Second+1)
	reaches(t, s.client, s.router) // the host is not busy with it
	if n := len(onLAN.All()); n == 0 || n > allowed {
		t.Errorf("%d of %d came to the LAN, at most %d may", n, sent, allowed)
	}
}

func TestGuardLegitimateTrafficPasses(t *testing.T) {
	t.Parallel()
	s := newSiege(t)
	onLAN := s.client.Capture(s.client.Iface, nil)
	s.begin(t)
	reaches(t, s.client, s.own)
	reaches(t, s.pod, s.router)
	reaches(t, s.pod, s.neighbour)
	sees(t, s.pod.Netns, s.client.Netns, netip.MustParseAddr("2001:db8:18::c"), s.own6)
	for _, addr := range []netip.Addr{s.own6, s.linkLocal} {
		if _, err := onLAN.AwaitFrame(t.Context(), detects(addr)); err != nil {
			t.Errorf("no duplicate detection for %s: %v", addr, err)
		}
	}
	s.listens(t, onLAN)
	words := make([]byte, 8)
	frames := map[string][]byte{
		"DNS":                        s.ip4(s.router.String(), protoUDP, udpSegment(40000, 53, nil)),
		"mDNS":                       s.ip4("224.0.0.251", protoUDP, udpSegment(5353, 5353, nil)),
		"mDNS of IPv6":               s.ip6("ff02::fb", protoUDP, udpSegment(5353, 5353, nil)),
		"SSDP":                       s.ip4("239.255.255.250", protoUDP, udpSegment(40000, 1900, nil)),
		"an ARP reply":               s.eth(etherARP, arpMessage(2, s.mac, s.own, s.router)),
		"a gratuitous ARP":           s.eth(etherARP, arpMessage(1, s.mac, s.own, s.own)),
		"a probe of its own":         s.eth(etherARP, arpMessage(1, s.mac, netip.IPv4Unspecified(), s.own)),
		"a later fragment":           s.eth(etherIP4, ip4Packet(s.own, s.router, protoUDP, 8, nil, make([]byte, 32))),
		"IPv4 options":               s.eth(etherIP4, ip4Packet(s.own, s.router, protoUDP, 0, []byte{1, 1, 1, 0}, udpSegment(1, 2, nil))),
		"a router solicitation":      s.ip6("ff02::2", protoICMP6, icmp6Message(133)),
		"its neighbour advert":       s.ip6("ff02::1", protoICMP6, slices.Concat(icmp6Message(136)[:8], s.linkLocal.AsSlice())),
		"IPv6 behind a header":       s.ip6("ff02::1", 60, behindHeader(protoUDP, udpSegment(1, 2, nil))),
		"a ping to everybody":        s.ip4("198.18.255.255", protoICMP, append([]byte{8}, words...)),
		"a fragment of IPv6, global": s.eth(etherIP6, ip6Packet(s.own6, netip.MustParseAddr("2001:db8:18::c"), 44, inFragment(protoUDP, udpSegment(1, 2, nil)))),
	}
	got, marks := s.attack(t, frames)
	for name, mark := range marks {
		if !slices.ContainsFunc(got["the LAN"].All(), bears(mark)) {
			t.Errorf("%s did not come to the LAN", name)
		}
	}
}

// detects picks the neighbour solicitation of RFC 4862 §5.4 for an address.
func detects(addr netip.Addr) func(ether.Frame) bool {
	return func(f ether.Frame) bool {
		p := f.Payload
		return f.EtherType == etherIP6 && len(p) >= 64 && p[6] == protoICMP6 && p[40] == 135 &&
			bytes.Equal(p[8:24], make([]byte, 16)) && bytes.Equal(p[48:64], addr.AsSlice())
	}
}

// listens has the Pod join a group of each family and awaits the reports.
func (s *siege) listens(t *testing.T, onLAN *lab.Capture) {
	t.Helper()
	groups := map[string]struct {
		addr   net.IP
		report func(ether.Frame) bool
	}{
		"udp4": {net.IPv4(239, 1, 2, 3), func(f ether.Frame) bool {
			ip, ok := f.IPv4()
			return ok && ip.Protocol == protoIGMP && bytes.Contains(f.Payload, []byte{239, 1, 2, 3})
		}},
		"udp6": {net.ParseIP("ff02::1234"), func(f ether.Frame) bool {
			return f.EtherType == etherIP6 && f.Payload[6] == 0 && bytes.Contains(f.Payload, net.ParseIP("ff02::1234"))
		}},
	}
	for family, group := range groups {
		err := s.pod.Do(func() error {
			eth0, err := net.InterfaceByName("eth0")
			if err != nil {
				return err
			}
			conn, err := net.ListenMulticastUDP(family, eth0, &net.UDPAddr{IP: group.addr, Port: 5000})
			if err == nil {
				t.Cleanup(func() { _ = conn.Close() })
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := onLAN.AwaitFrame(t.Context(), group.report); err != nil {
			t.Errorf("%s: no report of the group: %v", family, err)
		}
	}
}
