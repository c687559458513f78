package guard_test

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/guard"
)

const (
	extraMAC  = "\x02\x00\x00\x00\x00\x77"
	virtual   = "\x00\x00\x5e\x00\x01\x2a"
	virtual6  = "\x00\x00\x5e\x00\x02\x2a"
	group     = "\x01\x00\x5e\x00\x00\x12"
	extra     = "198.18.9.9"
	extra6    = "fd00::9"
	extraLL   = "fe80::ff:fe00:77"
	ospf, pim = 89, 103
)

// openings by name, each alone. The virtual router has its address besides.
func openings() map[string]func(*guard.Port) {
	addrs := []netip.Addr{netip.MustParseAddr(extra), netip.MustParseAddr(extra6)}
	return map[string]func(*guard.Port){
		"none":                func(*guard.Port) {},
		"dhcpClient":          func(p *guard.Port) { p.DHCPClient = true },
		"dhcpServer":          func(p *guard.Port) { p.DHCPServer = true },
		"routerAdvertisement": func(p *guard.Port) { p.RouterAdvertisement = true },
		"extraMACs":           func(p *guard.Port) { p.ExtraMACs = []net.HardwareAddr{net.HardwareAddr(extraMAC)} },
		"extraIPs":            func(p *guard.Port) { p.ExtraAddrs = addrs },
		"vrrp":                func(p *guard.Port) { p.VRRP, p.ExtraAddrs = true, addrs },
		"multicastRouting":    func(p *guard.Port) { p.MulticastRouting = true },
	}
}

// opened is a frame and the openings that let it pass.
type opened struct {
	frame []byte
	by    []string
}

func toRouters(protocol byte, dst string, payload []byte) []byte {
	return eth(group, mac, typeIP4, ip4(own, dst, protocol, 0, payload))
}

func toRouters6(protocol byte, dst string, payload []byte) []byte {
	return eth(allNodes, mac, typeIP6, ip6(linkLocal, dst, protocol, payload))
}

func openedFrames() map[string]opened {
	word := make([]byte, 8)
	query := append([]byte{0x11}, word...)
	server := udp(67, 68, bootp(2, victim, "0.0.0.0", "0.0.0.0"))
	broadcastFrom := func(src string, payload []byte) []byte {
		return eth(broadcast, mac, typeIP4, ip4(src, anywhere, unix.IPPROTO_UDP, 0, payload))
	}
	dhcp, ra, macs, ips := []string{"dhcpServer"}, []string{"routerAdvertisement"}, []string{"extraMACs"}, []string{"extraIPs", "vrrp"}
	vrrp, routing := []string{"vrrp"}, []string{"multicastRouting"}
	return map[string]opened{
		"a DISCOVER":                           {request("0.0.0.0", bootp(1, mac, "0.0.0.0", "0.0.0.0")), []string{"dhcpClient"}},
		"a DHCP server's reply":                {broadcastFrom(own, server), dhcp},
		"a reply to a relay":                   {broadcastFrom(own, udp(67, 67, bootp(2, victim, "0.0.0.0", own))), dhcp},
		"a DHCP server's from another address": {broadcastFrom(other, server), nil},
		"a DHCP server's from another port":    {broadcastFrom(own, udp(4000, 68, bootp(2, victim, "0.0.0.0", "0.0.0.0"))), nil},
		"a DHCPv6 server's reply":              {toRouters6(unix.IPPROTO_UDP, "fe80::1", udp(547, 546, nil)), dhcp},
		"a DHCPv6 client's request":            {toRouters6(unix.IPPROTO_UDP, "ff02::1:2", udp(546, 547, nil)), nil},

		"a router advertisement":        {toRouters6(unix.IPPROTO_ICMPV6, "ff02::1", advert()), ra},
		"one behind an extension":       {toRouters6(60, "ff02::1", behind(unix.IPPROTO_ICMPV6, advert())), ra},
		"one in a fragment":             {toRouters6(44, "ff02::1", firstFragment(60, behind(unix.IPPROTO_ICMPV6, advert()))), nil},
		"one from another":              {eth(allNodes, mac, typeIP6, ip6("fe80::1", "ff02::1", unix.IPPROTO_ICMPV6, advert())), nil},
		"an ND redirect":                {toRouters6(unix.IPPROTO_ICMPV6, "ff02::1", icmp6(137, make([]byte, 32))), nil},
		"a router advertisement (IPv4)": {toRouters(unix.IPPROTO_ICMP, "224.0.0.1", append([]byte{9}, word...)), nil},

		"ARP of the extra MAC":        {eth(broadcast, extraMAC, typeARP, arpPacket(1, extraMAC, own, other)), macs},
		"IPv4 from the extra MAC":     {eth(gateway, extraMAC, typeIP4, ip4(own, other, unix.IPPROTO_UDP, 0, udp(1, 2, nil))), macs},
		"IPv6 from its link-local":    {eth(gateway, extraMAC, typeIP6, ip6(extraLL, other6, unix.IPPROTO_UDP, udp(1, 2, nil))), macs},
		"ARP of it from the own MAC":  {eth(broadcast, mac, typeARP, arpPacket(1, extraMAC, own, other)), macs},
		"ARP for the extra address":   {eth(broadcast, mac, typeARP, arpPacket(2, mac, extra, other)), ips},
		"a probe for it":              {eth(broadcast, mac, typeARP, arpPacket(1, mac, "0.0.0.0", extra)), ips},
		"IPv4 from the extra address": {eth(gateway, mac, typeIP4, ip4(extra, other, unix.IPPROTO_UDP, 0, udp(1, 2, nil))), ips},
		"IPv6 from the extra address": {eth(gateway, mac, typeIP6, ip6(extra6, other6, unix.IPPROTO_UDP, udp(1, 2, nil))), ips},
		"its neighbour advertisement": {eth(allNodes, mac, typeIP6, ip6(extra6, "ff02::1", unix.IPPROTO_ICMPV6, icmp6(136, ip(extra6)))), ips},
		"its duplicate detection":     {eth(allNodes, mac, typeIP6, ip6("::", "ff02::1:ff00:9", unix.IPPROTO_ICMPV6, icmp6(135, ip(extra6)))), ips},

		"a VRRP advertisement":                  {toRouters(112, "224.0.0.18", word), vrrp},
		"one from the virtual MAC":              {eth(group, virtual, typeIP4, ip4(own, "224.0.0.18", 112, 0, word)), vrrp},
		"one to another group":                  {toRouters(112, "224.0.0.5", word), nil},
		"one to one host":                       {toRouters(112, other, word), nil},
		"VRRP of IPv6":                          {toRouters6(112, "ff02::12", word), vrrp},
		"VRRP of IPv6 to another group":         {toRouters6(112, "ff02::5", word), nil},
		"ARP for the virtual address":           {eth(broadcast, virtual, typeARP, arpPacket(2, virtual, extra, other)), vrrp},
		"ARP for the own from it":               {eth(broadcast, virtual, typeARP, arpPacket(2, virtual, own, other)), nil},
		"ARP for another from it":               {eth(broadcast, virtual, typeARP, arpPacket(2, virtual, other, own)), nil},
		"IPv4 from the virtual MAC":             {eth(gateway, virtual, typeIP4, ip4(extra, other, unix.IPPROTO_UDP, 0, udp(1, 2, nil))), vrrp},
		"NA from the virtual MAC":               {eth(allNodes, virtual6, typeIP6, ip6(extra6, "ff02::1", unix.IPPROTO_ICMPV6, icmp6(136, ip(extra6)))), vrrp},
		"a MAC beside the virtual ones":         {eth(broadcast, "\x00\x00\x5e\x00\x03\x01", typeARP, arpPacket(1, mac, own, other)), nil},
		"the virtual MAC with another's source": {eth(gateway, virtual, typeIP4, ip4(other, own, unix.IPPROTO_UDP, 0, udp(1, 2, nil))), nil},

		"an IGMP query":              {toRouters(unix.IPPROTO_IGMP, "224.0.0.1", query), routing},
		"an IGMP query to one host":  {toRouters(unix.IPPROTO_IGMP, other, query), routing},
		"an MLD query":               {toRouters6(unix.IPPROTO_ICMPV6, "ff02::1", icmp6(130, make([]byte, 20))), routing},
		"multicast router discovery": {toRouters6(unix.IPPROTO_ICMPV6, "ff02::6a", icmp6(151, nil)), routing},
		"PIM":                        {toRouters(pim, "224.0.0.13", word), routing},
		"PIM to one router":          {toRouters(pim, other, word), routing},
		"PIM of IPv6":                {toRouters6(pim, "ff02::d", word), routing},
		"OSPF":                       {toRouters(ospf, "224.0.0.5", word), routing},
		"OSPF to one router":         {toRouters(ospf, other, word), routing},
		"OSPF behind IPv4 options":   {eth(group, mac, typeIP4, withOptions(ip4(own, "224.0.0.5", ospf, 0, word))), routing},
		"OSPF of IPv6":               {toRouters6(ospf, "ff02::5", word), routing},
		"OSPF of IPv6 behind one":    {toRouters6(60, "ff02::5", behind(ospf, word)), routing},
		"EIGRP":                      {toRouters(88, "224.0.0.10", word), routing},
		"RIP":                        {toRouters(unix.IPPROTO_UDP, "224.0.0.9", udp(520, 520, nil)), routing},
		"RIP from a port of its own": {toRouters(unix.IPPROTO_UDP, "224.0.0.9", udp(40000, 520, nil)), routing},
		"RIP to one router":          {eth(gateway, mac, typeIP4, ip4(own, other, unix.IPPROTO_UDP, 0, udp(40000, 520, nil))), routing},
		"RIP to everybody":           {broadcastFrom(own, udp(520, 520, nil)), routing},
		"RIPng":                      {toRouters6(unix.IPPROTO_UDP, "ff02::9", udp(521, 521, nil)), routing},
		"HSRP":                       {toRouters(unix.IPPROTO_UDP, "224.0.0.2", udp(1985, 1985, nil)), nil},
		"UDP to all hosts":           {toRouters(unix.IPPROTO_UDP, "224.0.0.1", udp(1, 2, nil)), nil},
		"ping to all hosts":          {toRouters(unix.IPPROTO_ICMP, "224.0.0.1", append([]byte{8}, word...)), nil},
	}
}

// withOptions puts an IPv4 option (router alert, RFC 2113) into a header.
func withOptions(packet []byte) []byte {
	b := slices.Concat(packet[:20], []byte{0x94, 4, 0, 0}, packet[20:])
	b[0] = 0x46
	length := len(b) + markSize
	b[2], b[3], b[10], b[11] = byte(length>>8), byte(length), 0, 0
	var sum uint32
	for i := 0; i < 24; i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	b[10], b[11] = byte(^sum>>8), byte(^sum)
	return b
}

func TestEveryOpeningOpensWhatItNamesAndNothingElse(t *testing.T) {
	l := newLAN(t, "vethpl000000005")
	for opening, open := range openings() {
		t.Run(opening, func(t *testing.T) {
			p := l.port
			open(&p)
			must(t, l.guard.Add(t.Context(), p))
			frames, want := make(map[string][]byte), make(map[string]bool)
			maps.Copy(frames, attacks())
			for name, o := range openedFrames() {
				frames[name], want[name] = o.frame, slices.Contains(o.by, opening)
			}
			for name, frame := range legitimate() {
				frames[name], want[name] = frame, true
			}
			// Of those, an opening may well let pass what it names.
			for name := range attacks() {
				if _, twice := openedFrames()[name]; !twice && sameAsOpened(opening, frames[name]) {
					want[name] = true
				}
			}
			passed := l.passing(t, frames, fine())
			for name := range frames {
				if passed[name] != want[name] {
					t.Errorf("%s passed: %t", name, passed[name])
				}
			}
		})
	}
}

// sameAsOpened: a frame of attacks() that an opening names.
func sameAsOpened(opening string, frame []byte) bool {
	for _, o := range openedFrames() {
		if slices.Contains(o.by, opening) && bytes.Equal(o.frame, frame) {
			return true
		}
	}
	named := map[string][]string{
		"dhcpClient":          {"a DHCP client's request", "a DHCP client's request from its own"},
		"dhcpServer":          {"a DHCP server's reply as a fragment"},
		"routerAdvertisement": {"one behind an extension header"},
	}
	for _, name := range named[opening] {
		if bytes.Equal(attacks()[name], frame) {
			return true
		}
	}
	return false
}

// passing sends the frames from the Pod, each with a mark, and returns the names
// of those that the LAN host heard before one that surely passes.
func (l *lan) passing(t *testing.T, frames map[string][]byte, after []byte) map[string]bool {
	t.Helper()
	in, out := l.host.PacketSocket(t, "nic0", unix.ETH_P_ALL), l.pod.PacketSocket(t, "eth0", 0)
	defer func() { _ = unix.Shutdown(in, unix.SHUT_RDWR) }()
	marks := make(map[string]string)
	var sent [][]byte
	for name, frame := range frames {
		l.marks++
		mark := fmt.Sprintf("frame %10d", l.marks)
		marks[mark] = name
		sent = append(sent, append(bytes.Clone(frame), mark...))
	}
	l.marks++
	last := fmt.Appendf(nil, "after %10d", l.marks)
	sendInOrder(t, out, append(sent, append(bytes.Clone(after), last...))...)
	passed := make(map[string]bool)
	for {
		got := receive(t, in)
		if bytes.HasSuffix(got, last) {
			return passed
		}
		if name, ok := marks[string(got[max(0, len(got)-markSize):])]; ok {
			passed[name] = true
		}
	}
}
