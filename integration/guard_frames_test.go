package integration_test

import (
	"encoding/binary"
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/podlan/podlan/integration/lab/ether"
)

// markLength is that of the mark at the end of each frame, which the lengths in
// IP and UDP headers count.
const markLength = 16

// attacker is a Pod and whom it could harm.
type attacker struct {
	mac, gateway         net.HardwareAddr
	own, router, own6    netip.Addr
	linkLocal, neighbour netip.Addr // the router's and another Pod's
}

const (
	etherIP4, etherARP, etherIP6 = 0x0800, 0x0806, 0x86dd
	protoICMP, protoIGMP         = 1, 2
	protoUDP, protoICMP6         = 17, 58
)

func mustMAC(s string) net.HardwareAddr {
	mac, err := net.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return mac
}

func rawEthernet(dst, src net.HardwareAddr, etherType uint16, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint16(slices.Concat(dst, src), etherType), payload...)
}

// ip4Packet builds a packet; options are 0 or 4 bytes, fragment is the header's
// flags and offset.
func ip4Packet(src, dst netip.Addr, protocol byte, fragment uint16, options, payload []byte) []byte {
	header := 20 + len(options)
	b := []byte{0x40 | byte(header/4), 0}
	b = binary.BigEndian.AppendUint16(b, uint16(header+len(payload)+markLength))
	b = append(b, 0, 1)
	b = binary.BigEndian.AppendUint16(b, fragment)
	b = slices.Concat(b, []byte{64, protocol, 0, 0}, src.AsSlice(), dst.AsSlice(), options)
	binary.BigEndian.PutUint16(b[10:], ether.Checksum(b))
	return append(b, payload...)
}

func ip6Packet(src, dst netip.Addr, next byte, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(payload)+markLength))
	return slices.Concat(append(b, next, 255), src.AsSlice(), dst.AsSlice(), payload)
}

func udpSegment(from, to uint16, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, from)
	b = binary.BigEndian.AppendUint16(b, to)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)+markLength))
	return append(append(b, 0, 0), payload...)
}

func bootpMessage(op byte, chaddr net.HardwareAddr) []byte {
	b := make([]byte, 240)
	b[0], b[1], b[2] = op, 1, 6
	copy(b[28:], chaddr)
	copy(b[236:], []byte{99, 130, 83, 99})
	return b
}

func icmp6Message(kind byte, body ...byte) []byte {
	return append([]byte{kind, 0, 0, 0, 0, 0, 0, 0}, body...)
}

func arpMessage(operation byte, mac net.HardwareAddr, sender, target netip.Addr) []byte {
	return slices.Concat([]byte{0, 1, 8, 0, 6, 4, 0, operation}, mac, sender.AsSlice(), make([]byte, 6), target.AsSlice())
}

func (a attacker) eth(etherType uint16, payload []byte) []byte {
	return rawEthernet(ether.Broadcast(), a.mac, etherType, payload)
}

func (a attacker) ip4(dst string, protocol byte, payload []byte) []byte {
	return a.eth(etherIP4, ip4Packet(a.own, netip.MustParseAddr(dst), protocol, 0, nil, payload))
}

func (a attacker) ip6(dst string, next byte, payload []byte) []byte {
	return a.eth(etherIP6, ip6Packet(a.linkLocal, netip.MustParseAddr(dst), next, payload))
}

// honest is an ARP request that passes.
func (a attacker) honest() []byte { return a.eth(etherARP, arpMessage(1, a.mac, a.own, a.router)) }

// frames are attacks by the row of the threat table
// (../shared/research/safety.md §1) and its evasions.
func (a attacker) frames() map[string][]byte {
	all := make(map[string][]byte)
	for _, part := range []map[string][]byte{a.spoofs(), a.dhcp(), a.ipv6(), a.layerTwo(), a.routing()} {
		maps.Copy(all, part)
	}
	return all
}

func (a attacker) spoofs() map[string][]byte {
	foreign := mustMAC("02:ee:00:00:00:01")
	none := netip.IPv4Unspecified()
	toRouter := func(src netip.Addr) []byte {
		return rawEthernet(a.gateway, a.mac, etherIP4, ip4Packet(src, a.router, protoUDP, 0, nil, udpSegment(1, 2, nil)))
	}
	return map[string][]byte{
		"1 another's MAC":               rawEthernet(ether.Broadcast(), foreign, etherARP, arpMessage(1, a.mac, a.own, a.router)),
		"2 the gateway's MAC":           rawEthernet(ether.Broadcast(), a.gateway, etherIP4, ip4Packet(a.own, a.router, protoUDP, 0, nil, udpSegment(1, 2, nil))),
		"4 the gateway's address":       a.eth(etherARP, arpMessage(2, a.mac, a.router, a.own)),
		"4 asking as the gateway":       a.eth(etherARP, arpMessage(1, a.mac, a.router, a.own)),
		"4 another's sender MAC":        a.eth(etherARP, arpMessage(2, a.gateway, a.own, a.router)),
		"4 a probe for the gateway":     a.eth(etherARP, arpMessage(1, a.mac, none, a.router)),
		"4 ARP of another kind":         a.eth(etherARP, arpMessage(8, a.mac, a.own, a.router)),
		"5 the gateway as source":       toRouter(a.router),
		"5 another Pod as source":       toRouter(a.neighbour),
		"5 no source":                   toRouter(none),
		"5 a fragment of another":       a.eth(etherIP4, ip4Packet(a.router, a.own, protoUDP, 8, nil, make([]byte, 32))),
		"5 another behind IPv4 options": a.eth(etherIP4, ip4Packet(a.router, a.own, protoUDP, 0, []byte{0x94, 4, 0, 0}, udpSegment(1, 2, nil))),
		"5 an ICMP redirect":            a.ip4("198.18.255.255", protoICMP, []byte{5, 1, 0, 0, 0, 0, 0, 0}),
	}
}

func (a attacker) dhcp() map[string][]byte {
	everybody := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	options := []byte{0x94, 4, 0, 0} // router alert, RFC 2113
	packet := func(src netip.Addr, fragment uint16, options, payload []byte) []byte {
		return a.eth(etherIP4, ip4Packet(src, everybody, protoUDP, fragment, options, payload))
	}
	none := netip.IPv4Unspecified()
	offer := udpSegment(67, 68, bootpMessage(2, a.gateway))
	return map[string][]byte{
		"6 a DHCP server":                 packet(a.own, 0, nil, offer),
		"6 behind IPv4 options":           packet(a.own, 0, options, offer),
		"6 in a first fragment":           packet(a.own, 0x2000, nil, offer),
		"6 in a fragment, with options":   packet(a.own, 0x2000, options, offer),
		"7 a DISCOVER of its own":         packet(none, 0, nil, udpSegment(68, 67, bootpMessage(1, a.mac))),
		"7 a DISCOVER of another":         packet(none, 0, nil, udpSegment(68, 67, bootpMessage(1, a.gateway))),
		"7 from another port":             packet(a.own, 0, nil, udpSegment(4000, 67, bootpMessage(1, a.gateway))),
		"7 behind IPv4 options":           packet(none, 0, options, udpSegment(68, 67, bootpMessage(1, a.gateway))),
		"7 in a first fragment":           packet(none, 0x2000, nil, udpSegment(68, 67, bootpMessage(1, a.gateway))),
		"10 a DHCPv6 server":              a.ip6("ff02::1", protoUDP, udpSegment(547, 546, nil)),
		"10 a DHCPv6 client, other port":  a.ip6("ff02::1:2", protoUDP, udpSegment(40000, 547, nil)),
		"10 one behind hop-by-hop header": a.ip6("ff02::1", 0, behindHeader(protoUDP, udpSegment(547, 546, nil))),
	}
}

// behindHeader puts an extension header of eight bytes before a payload.
func behindHeader(next byte, payload []byte) []byte {
	return append([]byte{next, 0, 1, 4, 0, 0, 0, 0}, payload...)
}

// inFragment puts a fragment header before a payload, more to follow.
func inFragment(next byte, payload []byte) []byte {
	return append([]byte{next, 0, 0, 1, 0, 0, 0, 1}, payload...)
}

func (a attacker) ipv6() map[string][]byte {
	advert, router := icmp6Message(134, make([]byte, 8)...), netip.MustParseAddr("fe80::1")
	claim := slices.Concat(icmp6Message(136)[:8], router.AsSlice())
	hidden := behindHeader(protoICMP6, advert)
	return map[string][]byte{
		"8 a router advertisement":    a.ip6("ff02::1", protoICMP6, advert),
		"8 behind a header":           a.ip6("ff02::1", 60, behindHeader(protoICMP6, advert)),
		"8 behind two headers":        a.ip6("ff02::1", 0, behindHeader(60, hidden)),
		"8 from the router's address": a.eth(etherIP6, ip6Packet(router, netip.MustParseAddr("ff02::1"), protoICMP6, advert)),
		"9 in a fragment":             a.ip6("ff02::1", 44, inFragment(protoICMP6, advert)),
		"9 in a fragment, hidden":     a.ip6("ff02::1", 44, inFragment(60, hidden)),
		"9 its header alone":          a.ip6("ff02::1", 44, inFragment(60, []byte{protoICMP6, 1, 1, 12, 0, 0, 0, 0})),
		"10 the gateway's neighbour":  a.ip6("ff02::1", protoICMP6, claim),
		"10 the same behind a header": a.ip6("ff02::1", 60, behindHeader(protoICMP6, claim)),
		"10 an ND redirect":           a.ip6("ff02::1", protoICMP6, icmp6Message(137, make([]byte, 32)...)),
		"10 another's IPv6 address":   a.eth(etherIP6, ip6Packet(router, a.own6, protoUDP, udpSegment(1, 2, nil))),
		"16 an MLD query":             a.ip6("ff02::1", protoICMP6, icmp6Message(130, make([]byte, 20)...)),
		"16 behind a header":          a.ip6("ff02::1", 0, behindHeader(protoICMP6, icmp6Message(130, make([]byte, 20)...))),
		"16 PIM of IPv6":              a.ip6("ff02::d", 103, make([]byte, 8)),
		"16 OSPF of IPv6":             a.ip6("ff02::5", 89, make([]byte, 8)),
		"16 VRRP of IPv6":             a.ip6("ff02::12", 112, make([]byte, 8)),
	}
}

func (a attacker) layerTwo() map[string][]byte {
	arp := arpMessage(1, a.mac, a.own, a.router)
	to := func(dst string, etherType uint16, payload ...byte) []byte {
		return rawEthernet(mustMAC(dst), a.mac, etherType, append(payload, make([]byte, 40)...))
	}
	datagram := ip4Packet(a.own, a.router, protoUDP, 0, nil, udpSegment(40000, 40000, nil))
	tagged := func(outer uint16, tag ...byte) []byte { return a.eth(outer, append(tag, arp...)) }
	snap := func(etherType uint16, payload []byte) []byte {
		b := append([]byte{0xaa, 0xaa, 3, 0, 0, 0}, byte(etherType>>8), byte(etherType))
		b = append(b, payload...)
		return a.eth(uint16(len(b)+markLength), b)
	}
	return map[string][]byte{
		"11 a BPDU":                   to("01:80:c2:00:00:00", 38, 0x42, 0x42, 3, 0, 0, 0, 0),
		"11 a PVST BPDU":              to("01:00:0c:cc:cc:cd", 50, 0xaa, 0xaa, 3, 0, 0, 0x0c, 1, 0x0b),
		"12 a VLAN tag":               tagged(0x8100, 0, 20, 8, 6),
		"12 a priority tag":           tagged(0x8100, 0xe0, 0, 8, 6),
		"12 IPv4 behind a tag":        a.eth(0x8100, append([]byte{0, 20, 8, 0}, datagram...)),
		"12 IPv4 behind priority 0":   a.eth(0x8100, append([]byte{0, 0, 8, 0}, datagram...)),
		"12 a service tag":            tagged(0x88a8, 0, 20, 8, 6),
		"12 a service and a VLAN tag": tagged(0x88a8, 0, 1, 0x81, 0, 0, 20, 8, 6),
		"12 two VLAN tags":            tagged(0x8100, 0, 1, 0x81, 0, 0, 20, 8, 6),
		"13 LLDP":                     to("01:80:c2:00:00:0e", 0x88cc, 2, 7, 4),
		"13 LACP":                     to("01:80:c2:00:00:02", 0x8809, 1, 1),
		"13 a pause frame":            to("01:80:c2:00:00:01", 0x8808, 0, 1, 0xff, 0xff),
		"13 EAPOL to everybody":       to("ff:ff:ff:ff:ff:ff", 0x888e, 2, 1, 0, 0),
		"14 CDP":                      to("01:00:0c:cc:cc:cc", 50, 0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0),
		"14 MVRP":                     to("01:80:c2:00:00:21", 0x88f5),
		"14 MPLS":                     to("ff:ff:ff:ff:ff:ff", 0x8847, 0, 1, 0x41, 64),
		"14 PPPoE":                    to("ff:ff:ff:ff:ff:ff", 0x8863, 0x11, 9, 0, 0, 0, 0),
		"14 RARP":                     a.eth(0x8035, arpMessage(3, a.mac, netip.IPv4Unspecified(), a.own)),
		"14 IPv4 in SNAP":             snap(etherIP4, ip4Packet(a.router, a.own, protoUDP, 0, nil, udpSegment(1, 2, nil))),
		"14 ARP in SNAP":              snap(etherARP, arpMessage(2, a.mac, a.router, a.own)),
		"14 an LLC frame":             a.eth(43, append([]byte{6, 6, 3}, make([]byte, 24)...)),
	}
}

func (a attacker) routing() map[string][]byte {
	word := make([]byte, 8)
	query := append([]byte{0x11}, word...)
	allHosts := netip.MustParseAddr("224.0.0.1")
	return map[string][]byte{
		"16 an IGMP query":         a.ip4("224.0.0.1", protoIGMP, query),
		"16 with router alert":     a.eth(etherIP4, ip4Packet(a.own, allHosts, protoIGMP, 0, []byte{0x94, 4, 0, 0}, query)),
		"16 in a fragment":         a.eth(etherIP4, ip4Packet(a.own, allHosts, protoIGMP, 0x2000, nil, query)),
		"16 PIM":                   a.ip4("224.0.0.13", 103, word),
		"16 VRRP":                  a.ip4("224.0.0.18", 112, word),
		"16 VRRP from its own MAC": rawEthernet(mustMAC("01:00:5e:00:00:12"), mustMAC("00:00:5e:00:01:01"), etherIP4, ip4Packet(a.own, netip.MustParseAddr("224.0.0.18"), 112, 0, nil, word)),
		"16 HSRP":                  a.ip4("224.0.0.2", protoUDP, udpSegment(1985, 1985, nil)),
		"16 OSPF":                  a.ip4("224.0.0.5", 89, word),
		"16 OSPF to one router":    a.ip4(a.router.String(), 89, word),
		"16 EIGRP":                 a.ip4("224.0.0.10", 88, word),
		"16 RIP":                   a.ip4("224.0.0.9", protoUDP, udpSegment(520, 520, nil)),
		"16 IRDP":                  a.ip4("224.0.0.1", protoICMP, append([]byte{9}, word...)),
	}
}
