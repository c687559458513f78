package vlan_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// The NIC is the node's own: whatever Pods come and go on its VLANs, and whoever
// advertises there, node and session do not notice.
func TestTheNodeKeepsItsNICsStateAndItsSession(t *testing.T) {
	t.Parallel()
	rtnltest.NeedVLAN(t)
	for _, m := range modes() {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			s := newStaticSite(t, m, 10, 20, 30)
			router := s.Tap("router", 10, 20, 30)
			advertise(t, router, 0, 10, 20, 30)
			own := s.awaitOwnPrefix(t, router)
			session := s.session(t)
			before := s.node.Snapshot()

			all := []resident{}
			for _, vid := range []uint16{10, 20, 30} {
				all = append(all, s.settle(t, fmt.Sprintf("pod%d", vid), vid, hostLocal()))
			}
			advertise(t, router, 10, 20, 30)
			for _, r := range all {
				reaches(t, s.hosts[r.vid].Netns, r.addr) // behind the advertisements
			}
			s.quiet(t, before)
			s.nodeIsNotOn(t, all[0], own)
			session.echo(t)

			advertise(t, router, 10, 20, 30)
			for _, r := range all {
				detach(t, s.node, r.conf, r.Pod)
			}
			advertise(t, router, 10, 20, 30)
			asBefore(t, s.node, before)
			session.echo(t)
		})
	}
}

// advertise has a router say RFC 4861 §4.2's in each of the VLANs, with a prefix
// of its own in each.
func advertise(t *testing.T, router *lab.Host, vids ...uint16) {
	t.Helper()
	mac := link(t, router.Netns, "eth0").Attrs().HardwareAddr
	var frames [][]byte
	for _, vid := range vids {
		frames = append(frames, ether.Tagged(advertisement(mac, prefixOf(vid)), tagsOf(vid)...))
	}
	say(t, router.Netns, "eth0", frames...)
}

func prefixOf(vid uint16) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("2001:db8:%d::/64", vid))
}

func advertisement(mac net.HardwareAddr, prefix netip.Prefix) []byte {
	allNodes := netip.MustParseAddr("ff02::1")
	const lifetime = 1800 // seconds, of router and prefix
	b := []byte{134, 0, 0, 0, 64, 0}
	b = binary.BigEndian.AppendUint16(b, lifetime)
	b = append(b, make([]byte, 8)...)
	b = append(b, 3, 4, byte(prefix.Bits()), 0xc0) // on-link, autonomous
	b = binary.BigEndian.AppendUint32(b, lifetime)
	b = binary.BigEndian.AppendUint32(b, lifetime)
	b = append(b, 0, 0, 0, 0)
	b = append(b, prefix.Addr().AsSlice()...)
	return icmp6(mac, net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, linkLocal(mac), allNodes, b)
}

// linkLocal is the address that a kernel makes of a MAC (RFC 4291 appendix A).
func linkLocal(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
}

// icmp6 puts a message into a frame, hop limit 255 and checksum included.
func icmp6(src, dst net.HardwareAddr, from, to netip.Addr, message []byte) []byte {
	pseudo := slices.Concat(from.AsSlice(), to.AsSlice(), []byte{0, 0, 0, byte(len(message)), 0, 0, 0, unix.IPPROTO_ICMPV6})
	binary.BigEndian.PutUint16(message[2:], ether.Checksum(append(pseudo, message...)))
	p := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(message)))
	p = slices.Concat(append(p, unix.IPPROTO_ICMPV6, 255), from.AsSlice(), to.AsSlice(), message)
	return ether.Ethernet(dst, src, unix.ETH_P_IPV6, p)
}

// awaitOwnPrefix waits until the node has its address of the untagged router's
// prefix, which it is to keep. A node whose link is only coming up passes over
// advertisements, and routers repeat them.
func (s *site) awaitOwnPrefix(t *testing.T, router *lab.Host) netip.Addr {
	t.Helper()
	var own netip.Addr
	lab.Eventually(t, "the node's address of its own router", func() error {
		advertise(t, router, 0)
		for _, text := range s.node.Snapshot().Links[s.node.Iface].Addresses {
			if p, err := netip.ParsePrefix(text); err == nil && prefixOf(0).Contains(p.Addr()) {
				own = p.Addr()
				return nil
			}
		}
		return fmt.Errorf("none of %s", prefixOf(0))
	})
	return own
}

// session is a TCP connection of the node's to a host on the untagged LAN.
type session struct {
	near, far net.Conn
}

func (s *site) session(t *testing.T) session {
	t.Helper()
	host := s.hosts[0]
	listener, err := host.Listen(t.Context(), "tcp", host.Addr.Addr().String()+":0")
	must(t, err)
	defer listener.Close()
	near, err := s.node.Dial(t.Context(), "tcp", listener.Addr().String())
	must(t, err)
	far, err := listener.Accept()
	must(t, err)
	t.Cleanup(func() { near.Close(); far.Close() })
	return session{near, far}
}

// echo sends a word there and back.
func (c session) echo(t *testing.T) {
	t.Helper()
	for _, way := range [][2]net.Conn{{c.near, c.far}, {c.far, c.near}} {
		if _, err := way[0].Write([]byte("word")); err != nil {
			t.Fatalf("the session: %v", err)
		}
		_ = way[1].SetReadDeadline(time.Now().Add(lab.Stretch(time.Minute)))
		got := make([]byte, 4)
		if _, err := io.ReadFull(way[1], got); err != nil || string(got) != "word" {
			t.Fatalf("the session: %q, %v", got, err)
		}
	}
}

// quiet checks that what stood is as it was, but for what Pods need, and that
// what is new bears no address and takes none.
func (s *site) quiet(t *testing.T, before lab.Snapshot) {
	t.Helper()
	now := s.node.Snapshot()
	for name, l := range now.Links {
		was, stood := before.Links[name]
		switch {
		case stood:
			l.VLANs, l.Promiscuity = was.VLANs, was.Promiscuity
			if diff := (lab.Snapshot{Links: map[string]lab.Link{name: was}}).Diff(lab.Snapshot{Links: map[string]lab.Link{name: l}}); diff != "" {
				t.Errorf("%s has changed:\n%s", name, diff)
			}
		case strings.HasPrefix(name, "veth"): // a Pod's port: its frames are the Pod's
		case len(l.Addresses) > 0 || l.AcceptRA != "0" || l.DisableIPv6 != "1":
			t.Errorf("the node is on the Pods' VLAN by %s: %+v", name, l)
		default:
			if ignore, err := s.node.Sysctl("net/ipv4/conf/" + name + "/arp_ignore"); err != nil || ignore != "1" {
				t.Errorf("arp_ignore of %s is %q (%v), want 1", name, ignore, err)
			}
		}
	}
	if !slices.Equal(before.Routes, now.Routes) {
		t.Errorf("routes were %q and are %q", before.Routes, now.Routes)
	}
}

// nodeIsNotOn asks on the Pod's VLAN for the node's addresses, IPv4 and IPv6.
// Nobody answers before the Pod does, which is asked last.
func (s *site) nodeIsNotOn(t *testing.T, r resident, own6 netip.Addr) {
	t.Helper()
	host := s.hosts[r.vid]
	mac := link(t, host.Netns, host.Iface).Attrs().HardwareAddr
	own := map[string]bool{r.mac.String(): true, mac.String(): true}
	heard := host.Capture(host.Iface, func(f ether.Frame) bool { return !f.Outgoing && !own[f.Src.String()] })
	answer := host.Capture(host.Iface, from(r.mac))
	nic := link(t, s.node.Netns, s.node.Iface).Attrs().HardwareAddr
	frames := [][]byte{
		question(mac, host.Addr.Addr(), s.node.Addr.Addr(), ""),
		question(mac, netip.MustParseAddr("198.18.200.200"), s.node.Addr.Addr(), ""),
		question(mac, netip.IPv4Unspecified(), s.node.Addr.Addr(), ""),
	}
	for _, target := range []netip.Addr{own6, linkLocal(nic)} {
		frames = append(frames, solicitation(mac, target))
	}
	// By its MAC, too: the NIC hears what is tagged.
	frames = append(frames, ping(nic, mac, host.Addr.Addr(), s.node.Addr.Addr()))
	say(t, host.Netns, host.Iface, append(frames, question(mac, host.Addr.Addr(), r.addr, ""))...)
	_, err := answer.AwaitFrame(t.Context(), func(f ether.Frame) bool {
		a, ok := f.ARP()
		return ok && a.Op == ether.ARPReply && a.SenderIP == r.addr
	})
	must(t, err)
	for _, f := range heard.All() {
		if bytes.Equal(f.Src, nic) || f.EtherType == ether.Dot1Q {
			t.Errorf("VLAN %d hears the node: %s", r.vid, f)
		}
		if a, ok := f.ARP(); ok && a.SenderIP == s.node.Addr.Addr() {
			t.Errorf("somebody answers for the node: %s", f)
		}
	}
}

// solicitation asks for an IPv6 address (RFC 4861 §4.3).
func solicitation(mac net.HardwareAddr, target netip.Addr) []byte {
	b := target.As16()
	group := netip.AddrFrom16([16]byte{0xff, 2, 11: 1, 12: 0xff, b[13], b[14], b[15]})
	message := slices.Concat([]byte{135, 0, 0, 0, 0, 0, 0, 0}, target.AsSlice(), []byte{1, 1}, mac)
	return icmp6(mac, net.HardwareAddr{0x33, 0x33, 0xff, b[13], b[14], b[15]}, linkLocal(mac), group, message)
}

// ping is an ICMP echo request (RFC 792).
func ping(dst, src net.HardwareAddr, from, to netip.Addr) []byte {
	message := []byte{8, 0, 0, 0, 0, 1, 0, 1}
	binary.BigEndian.PutUint16(message[2:], ether.Checksum(message))
	return ether.IPv4Frame(dst, src, from, to, unix.IPPROTO_ICMP, message)
}
