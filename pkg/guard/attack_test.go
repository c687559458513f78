package guard_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	own       = "198.18.1.5"
	own6      = "fd00::5"
	linkLocal = "fe80::ff:fe00:5"
	other     = "198.18.0.1"
	other6    = "fd00::1"
)

// fine is a frame that a port with the address own may send.
func fine() []byte { return eth(broadcast, mac, typeARP, arpPacket(1, mac, own, other)) }

func advert() []byte { return icmp6(134, make([]byte, 8)) }

func tcp4(dst string) []byte { return ip4(own, dst, unix.IPPROTO_TCP, 0, make([]byte, 20)) }

// attacks are frames that no port with an address may send.
func attacks() map[string][]byte {
	discover := udp(68, 67, bootp(1, mac, "0.0.0.0", "0.0.0.0"))
	return map[string][]byte{
		"another's MAC":                        eth(broadcast, victim, typeARP, arpPacket(1, mac, own, other)),
		"a multicast MAC as source":            eth(broadcast, allNodes, typeARP, arpPacket(1, mac, own, other)),
		"ARP with another's sender MAC":        eth(broadcast, mac, typeARP, arpPacket(2, gateway, own, other)),
		"ARP reply for another's address":      eth(broadcast, mac, typeARP, arpPacket(2, mac, other, own)),
		"ARP request with another's address":   eth(broadcast, mac, typeARP, arpPacket(1, mac, other, own)),
		"ARP probe for another's address":      eth(broadcast, mac, typeARP, arpPacket(1, mac, "0.0.0.0", other)),
		"ARP with an operation of its own":     eth(broadcast, mac, typeARP, arpPacket(3, mac, own, other)),
		"ARP of another hardware type":         eth(broadcast, mac, typeARP, append([]byte{0, 6}, arpPacket(1, mac, own, other)[2:]...)),
		"IPv4 from another's address":          eth(gateway, mac, typeIP4, ip4(other, own, unix.IPPROTO_ICMP, 0, []byte{8, 0, 0, 0, 0, 0, 0, 0})),
		"IPv4 from no address":                 eth(gateway, mac, typeIP4, ip4("0.0.0.0", other, unix.IPPROTO_UDP, 0, udp(1, 2, nil))),
		"IPv4 with a broken header":            eth(gateway, mac, typeIP4, append([]byte{0x42}, ip4(own, other, unix.IPPROTO_UDP, 0, udp(1, 2, nil))[1:]...)),
		"TCP in a broken header":               eth(gateway, mac, typeIP4, append([]byte{0x42}, tcp4(other)[1:]...)),
		"TCP in a header too long":             eth(gateway, mac, typeIP4, slices.Concat(tcp4(other)[:2], []byte{4, 0}, tcp4(other)[4:])),
		"TCP to all hosts of the segment":      eth(group, mac, typeIP4, tcp4("224.0.0.1")),
		"ICMP redirect":                        eth(gateway, mac, typeIP4, ip4(own, other, unix.IPPROTO_ICMP, 0, []byte{5, 0, 0, 0, 0, 0, 0, 0})),
		"a DHCP server's reply":                eth(broadcast, mac, typeIP4, ip4(own, "255.255.255.255", unix.IPPROTO_UDP, 0, udp(67, 68, bootp(2, mac, "0.0.0.0", "0.0.0.0")))),
		"a DHCP server's reply as a fragment":  eth(broadcast, mac, typeIP4, ip4(own, "255.255.255.255", unix.IPPROTO_UDP, 0x2000, udp(67, 68, bootp(2, mac, "0.0.0.0", "0.0.0.0")))),
		"a DHCP client's request":              eth(broadcast, mac, typeIP4, ip4("0.0.0.0", "255.255.255.255", unix.IPPROTO_UDP, 0, discover)),
		"a DHCP client's request from its own": eth(gateway, mac, typeIP4, ip4(own, other, unix.IPPROTO_UDP, 0, discover)),
		"UDP to port 67 from another port":     eth(gateway, mac, typeIP4, ip4(own, other, unix.IPPROTO_UDP, 0, udp(4000, 67, nil))),
		"IPv6 from another's address":          eth(gateway, mac, typeIP6, ip6(other6, own6, unix.IPPROTO_UDP, udp(1, 2, nil))),
		"IPv6 from another link-local address": eth(gateway, mac, typeIP6, ip6("fe80::1", own6, unix.IPPROTO_UDP, udp(1, 2, nil))),
		"a router advertisement":               eth(allNodes, mac, typeIP6, ip6(linkLocal, "ff02::1", unix.IPPROTO_ICMPV6, advert())),
		"one behind an extension header":       eth(allNodes, mac, typeIP6, ip6(linkLocal, "ff02::1", 60, behind(unix.IPPROTO_ICMPV6, advert()))),
		"one in a fragment":                    eth(allNodes, mac, typeIP6, ip6(linkLocal, "ff02::1", 44, firstFragment(60, behind(unix.IPPROTO_ICMPV6, advert())))),
		"an ND redirect":                       eth(allNodes, mac, typeIP6, ip6(linkLocal, "ff02::1", unix.IPPROTO_ICMPV6, icmp6(137, make([]byte, 32)))),
		"a neighbour advertisement of another": eth(allNodes, mac, typeIP6, ip6(own6, "ff02::1", unix.IPPROTO_ICMPV6, icmp6(136, ip(other6)))),
		"duplicate detection for another's":    eth(allNodes, mac, typeIP6, ip6("::", "ff02::1:ff00:1", unix.IPPROTO_ICMPV6, icmp6(135, ip(other6)))),
		"an MLD query":                         eth(allNodes, mac, typeIP6, ip6(linkLocal, "ff02::1", unix.IPPROTO_ICMPV6, icmp6(130, make([]byte, 20)))),
		"a DHCPv6 server's reply":              eth(allNodes, mac, typeIP6, ip6(linkLocal, "fe80::1", unix.IPPROTO_UDP, udp(547, 546, nil))),
		"a DHCPv6 client's request":            eth(allNodes, mac, typeIP6, ip6(linkLocal, "ff02::1:2", unix.IPPROTO_UDP, udp(546, 547, nil))),
		"one from another port":                eth(allNodes, mac, typeIP6, ip6(linkLocal, "ff02::1:2", unix.IPPROTO_UDP, udp(40000, 547, nil))),
		"one from a global address":            eth(gateway, mac, typeIP6, ip6(own6, other6, unix.IPPROTO_UDP, udp(40000, 547, nil))),
		"a BPDU":                               eth(stp, mac, 38, []byte{0x42, 0x42, 3, 0, 0, 0, 0}),
		"a PVST BPDU":                          eth(pvst, mac, 50, []byte{0xaa, 0xaa, 3, 0, 0, 0x0c, 1, 0x0b}),
		"a tagged frame":                       eth(broadcast, mac, 0x8100, []byte{0, 20, 8, 6}, arpPacket(1, mac, own, other)),
		"IPv4 behind a tag":                    eth(gateway, mac, 0x8100, []byte{0, 20, 8, 0}, tcp4(other)),
		"IPv4 behind a priority tag":           eth(gateway, mac, 0x8100, []byte{0xe0, 0, 8, 0}, tcp4(other)),
		"a priority tag":                       eth(broadcast, mac, 0x8100, []byte{0xe0, 0, 8, 6}, arpPacket(1, mac, own, other)),
		"a double tag":                         eth(broadcast, mac, 0x88a8, []byte{0, 1, 0x81, 0, 0, 20, 8, 6}, arpPacket(1, mac, own, other)),
		"LLDP to broadcast":                    eth(broadcast, mac, 0x88cc, make([]byte, 40)),
		"RARP":                                 eth(broadcast, mac, 0x8035, arpPacket(3, mac, "0.0.0.0", own)),
	}
}

// legitimate are frames that a port with addresses sends.
func legitimate() map[string][]byte {
	return map[string][]byte{
		"an ARP request":                  fine(),
		"an ARP reply":                    eth(gateway, mac, typeARP, arpPacket(2, mac, own, other)),
		"an ARP probe of its own":         eth(broadcast, mac, typeARP, arpPacket(1, mac, "0.0.0.0", own)),
		"a ping":                          eth(gateway, mac, typeIP4, ip4(own, other, unix.IPPROTO_ICMP, 0, []byte{8, 0, 0, 0, 0, 0, 0, 0})),
		"UDP":                             eth(gateway, mac, typeIP4, ip4(own, other, unix.IPPROTO_UDP, 0, udp(5353, 53, nil))),
		"a later fragment":                eth(gateway, mac, typeIP4, ip4(own, other, unix.IPPROTO_UDP, 8, make([]byte, 64))),
		"IPv6 from its address":           eth(gateway, mac, typeIP6, ip6(own6, other6, unix.IPPROTO_UDP, udp(1, 2, nil))),
		"IPv6 from its link-local":        eth(gateway, mac, typeIP6, ip6(linkLocal, "fe80::1", unix.IPPROTO_UDP, udp(1, 2, nil))),
		"a neighbour advertisement":       eth(allNodes, mac, typeIP6, ip6(own6, "ff02::1", unix.IPPROTO_ICMPV6, icmp6(136, ip(own6)))),
		"duplicate detection of its own":  eth(allNodes, mac, typeIP6, ip6("::", "ff02::1:ff00:5", unix.IPPROTO_ICMPV6, icmp6(135, ip(linkLocal)))),
		"an MLD report from no address":   eth(allNodes, mac, typeIP6, ip6("::", "ff02::16", 0, behind(unix.IPPROTO_ICMPV6, icmp6(143, nil)))),
		"a router solicitation":           eth(allNodes, mac, typeIP6, ip6(linkLocal, "ff02::2", unix.IPPROTO_ICMPV6, icmp6(133, nil))),
		"an IGMPv3 report":                toRouters(unix.IPPROTO_IGMP, "224.0.0.22", append([]byte{0x22}, make([]byte, 7)...)),
		"an IGMPv2 report":                toRouters(unix.IPPROTO_IGMP, "239.1.1.1", append([]byte{0x16}, make([]byte, 7)...)),
		"leaving a group":                 toRouters(unix.IPPROTO_IGMP, "224.0.0.2", append([]byte{0x17}, make([]byte, 7)...)),
		"mDNS":                            toRouters(unix.IPPROTO_UDP, "224.0.0.251", udp(5353, 5353, nil)),
		"a later fragment of mDNS":        eth(group, mac, typeIP4, ip4(own, "224.0.0.251", unix.IPPROTO_UDP, 8, make([]byte, 64))),
		"LLMNR":                           toRouters(unix.IPPROTO_UDP, "224.0.0.252", udp(40000, 5355, nil)),
		"SSDP":                            toRouters(unix.IPPROTO_UDP, "239.255.255.250", udp(40000, 1900, nil)),
		"mDNS of IPv6":                    eth(allNodes, mac, typeIP6, ip6(linkLocal, "ff02::fb", unix.IPPROTO_UDP, udp(5353, 5353, nil))),
		"UDP between high ports":          eth(gateway, mac, typeIP4, ip4(own, other, unix.IPPROTO_UDP, 0, udp(40000, 40000, nil))),
		"UDP to a port of RIP's hundreds": eth(gateway, mac, typeIP4, ip4(own, other, unix.IPPROTO_UDP, 0, udp(40000, 514, nil))),
		"TCP":                             eth(gateway, mac, typeIP4, tcp4(other)),
		"TCP of IPv6":                     eth(gateway, mac, typeIP6, ip6(own6, other6, unix.IPPROTO_TCP, make([]byte, 20))),
		"TCP behind IPv4 options":         eth(gateway, mac, typeIP4, withOptions(tcp4(other))),
	}
}

func TestNoAttackReachesTheLAN(t *testing.T) {
	l := newLAN(t, "vethpl000000005")
	l.add(t)
	for name, frame := range attacks() {
		t.Run(name, func(t *testing.T) {
			if l.arrives(t, l.podEnd(), l.hostEnd(), frame, fine()) {
				t.Error("it arrived")
			}
		})
	}
	drops, err := l.guard.Drops(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var sum uint64
	for _, n := range drops {
		sum += n
	}
	if sum != uint64(len(attacks())-1) { // a bridge drops the multicast source first
		t.Errorf("counted %v, sent %d attacks", drops, len(attacks()))
	}
}

// The attacks above prove something only if they are frames that a bridge
// forwards.
func TestEveryAttackReachesTheLANFromAPortOfOthers(t *testing.T) {
	l := newLAN(t, "veth000000005")
	l.port.Name = "vethpl000000001"
	l.add(t)
	for name, frame := range attacks() {
		if name == "a multicast MAC as source" || strings.Contains(name, " header") && !strings.Contains(name, "extension") {
			continue // the bridge, or br_netfilter, drops it anyway
		}
		t.Run(name, func(t *testing.T) {
			if !l.arrives(t, l.podEnd(), l.hostEnd(), frame, fine()) {
				t.Error("it did not arrive")
			}
		})
	}
}

func TestWhatIsLegitimatePasses(t *testing.T) {
	l := newLAN(t, "vethpl000000005")
	l.add(t)
	for name, frame := range legitimate() {
		t.Run(name, func(t *testing.T) {
			if !l.arrives(t, l.podEnd(), l.hostEnd(), frame, fine()) {
				t.Error("it did not arrive")
			}
		})
	}
}

func TestAPortWithoutElementsIsClosed(t *testing.T) {
	l := newLAN(t, "vethpl000000005")
	if err := l.guard.Replace(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	in, out := l.host.PacketSocket(t, "nic0", unix.ETH_P_ALL), l.pod.PacketSocket(t, "eth0", 0)
	mark, last := []byte("sent when closed"), []byte("sent when opened")
	for _, frame := range legitimate() {
		sendInOrder(t, out, append(frame, mark...))
	}
	l.add(t)
	sendInOrder(t, out, append(fine(), last...))
	for {
		got := receive(t, in)
		if bytes.Contains(got, mark) {
			t.Errorf("arrived from a closed port: % x", got)
		}
		if bytes.Contains(got, last) {
			return
		}
	}
}
