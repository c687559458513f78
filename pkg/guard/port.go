package guard

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/podlan/podlan/pkg/nft"
	"github.com/podlan/podlan/pkg/rtnl"
)

// Port is what a port may send.
type Port struct {
	// Name is the host end's: it begins with rtnl.GuardedPrefix.
	Name string
	MAC  net.HardwareAddr
	// Addrs are the port's addresses of both families. The IPv6 link-local
	// address made from MAC is allowed besides.
	Addrs []netip.Addr
	// DHCPClient lets the port's own DHCPv4 client speak, as MAC only; with
	// LayerTwo also its DHCPv6 client.
	DHCPClient bool
	// LayerTwo leaves the port's addresses free. Everything else, its MAC too,
	// is as strict as on any port.
	LayerTwo bool

	// DHCPServer lets the port answer as a DHCPv4 or DHCPv6 server or relay.
	DHCPServer bool
	// RouterAdvertisement lets out router advertisements of RFC 4861.
	RouterAdvertisement bool
	// ExtraMACs are allowed as MAC is, each with its IPv6 link-local address.
	ExtraMACs []net.HardwareAddr
	// ExtraAddrs are allowed as Addrs are.
	ExtraAddrs []netip.Addr
	// VRRP lets the port be a virtual router of RFC 9568: its advertisements,
	// its virtual MACs, and ARP for ExtraAddrs from these.
	VRRP bool
	// MulticastRouting lets out IGMP and MLD queries, PIM, OSPF, EIGRP and RIP.
	MulticastRouting bool
	// Trunk are the VIDs, 1 to 4094, that the port may send with one 802.1Q tag.
	// With one its addresses are free, as with LayerTwo.
	Trunk []uint16
	Rates Rates
}

// Rates are what a port may send per second, in packets: 0 is the default, a
// negative number no limit. A burst in proportion passes at once.
type Rates struct {
	// ARP packets, 100 by default, half as many at once.
	ARP int
	// Multicast are frames to several, broadcast and ARP among them: 2000 by
	// default, a fifth at once.
	Multicast int
}

// Packets per second, unless a port says otherwise.
const (
	defaultARPRate       = 100
	defaultMulticastRate = 2000
)

func limitOf(rate, byDefault, burstOf int) nft.Rate {
	switch {
	case rate < 0:
		return nft.Rate{}
	case rate == 0:
		rate = byDefault
	}
	return nft.Rate{PerSecond: uint32(rate), Burst: uint32(max(1, rate/burstOf))}
}

func (r Rates) arp() nft.Rate { return limitOf(r.ARP, defaultARPRate, 2) }

func (r Rates) multicast() nft.Rate { return limitOf(r.Multicast, defaultMulticastRate, 5) }

// maxRate keeps a limit's arithmetic in the kernel, in nanoseconds, exact.
const maxRate = 1_000_000

func (p Port) check() error {
	if !strings.HasPrefix(p.Name, rtnl.GuardedPrefix) || len(p.Name) >= nameSize {
		return fmt.Errorf("guard: port %q: the name has to begin with %s and have at most %d bytes", p.Name, rtnl.GuardedPrefix, nameSize-1)
	}
	for _, mac := range append([]net.HardwareAddr{p.MAC}, p.ExtraMACs...) {
		if len(mac) != 6 || mac[0]&1 != 0 {
			return fmt.Errorf("guard: port %s: MAC %q has to have 6 bytes and be one station's", p.Name, mac)
		}
	}
	for _, addr := range slices.Concat(p.Addrs, p.ExtraAddrs) {
		if !addr.IsValid() {
			return fmt.Errorf("guard: port %s: an address is empty", p.Name)
		}
	}
	if p.Rates.ARP > maxRate || p.Rates.Multicast > maxRate {
		return fmt.Errorf("guard: port %s: %+v: a rate is at most %d packets/s, or negative for no limit", p.Name, p.Rates, maxRate)
	}
	if i := slices.IndexFunc(p.Trunk, func(vid uint16) bool { return vid == 0 || vid > maxVID }); i >= 0 {
		return fmt.Errorf("guard: port %s: VLAN %d: a tag is from 1 to %d", p.Name, p.Trunk[i], maxVID)
	}
	if n := len(p.notes()); n > maxNotes {
		return fmt.Errorf("guard: port %s: %d addresses, %d MACs and %d VLANs are more than a guard keeps",
			p.Name, len(p.addrs()), len(p.macs()), len(p.Trunk))
	}
	return nil
}

// addrs returns all addresses in order, each once.
func (p Port) addrs() []netip.Addr { return inOrder(slices.Concat(p.Addrs, p.ExtraAddrs)) }

func inOrder(addrs []netip.Addr) []netip.Addr {
	ordered := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		ordered = append(ordered, a.Unmap().WithZone(""))
	}
	slices.SortFunc(ordered, netip.Addr.Compare)
	return slices.Compact(ordered)
}

// macs returns MAC and then the others in order, each once.
func (p Port) macs() []net.HardwareAddr {
	others := slices.Clone(p.ExtraMACs)
	slices.SortFunc(others, func(a, b net.HardwareAddr) int { return bytes.Compare(a, b) })
	same := func(a, b net.HardwareAddr) bool { return bytes.Equal(a, b) }
	others = slices.DeleteFunc(slices.CompactFunc(others, same), func(m net.HardwareAddr) bool { return same(m, p.MAC) })
	return append([]net.HardwareAddr{p.MAC}, others...)
}

// linkLocal is the IPv6 link-local address that a kernel makes from a MAC (RFC
// 4291, appendix A).
func linkLocal(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
}
