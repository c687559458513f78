package dhcp4

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/rfc1035label"
)

// Limits on what one server may put into a Pod.
const (
	maxRoutes = 64
	maxAddrs  = 32
	maxNames  = 32
	minMTU    = 68 // RFC 2132 §5.1
)

// routes returns the default gateway and the routes: option 121 alone if it
// holds any (RFC 3442: 3 and 33 are then ignored), else 33 and 3.
func routes(opts dhcpv4.Options) (netip.Addr, []Route) {
	rs := classless(opts[uint8(dhcpv4.OptionClasslessStaticRoute)])
	if len(rs) == 0 {
		rs = classful(opts[uint8(dhcpv4.OptionStaticRoutingTable)])
		if gws := addrs(opts[uint8(dhcpv4.OptionRouter)]); len(gws) > 0 {
			rs = append(rs, Route{Dst: defaultRoute(), GW: gws[0]})
		}
	}
	for _, r := range rs {
		if r.Dst.Bits() == 0 {
			return r.GW, rs
		}
	}
	return netip.Addr{}, rs
}

func defaultRoute() netip.Prefix { return netip.PrefixFrom(netip.IPv4Unspecified(), 0) }

// classless reads option 121 as far as it is well-formed (RFC 3442).
func classless(raw []byte) []Route {
	var rs []Route
	for len(raw) > 0 && len(rs) < maxRoutes {
		bits := int(raw[0])
		n := (bits + 7) / 8
		if bits > 32 || len(raw) < 1+n+4 {
			break
		}
		var dst [4]byte
		copy(dst[:], raw[1:1+n])
		r := Route{Dst: netip.PrefixFrom(netip.AddrFrom4(dst), bits).Masked()}
		if gw := netip.AddrFrom4([4]byte(raw[1+n : 5+n])); !gw.IsUnspecified() {
			r.GW = gw
		}
		rs = append(rs, r)
		raw = raw[5+n:]
	}
	return rs
}

// classful reads option 33: pairs of destination and router. A destination
// with bits beyond its class's mask is a host.
func classful(raw []byte) []Route {
	var rs []Route
	for ; len(raw) >= 8 && len(rs) < maxRoutes-1; raw = raw[8:] {
		dst, gw := netip.AddrFrom4([4]byte(raw[:4])), netip.AddrFrom4([4]byte(raw[4:8]))
		if !usable(dst) || !usable(gw) {
			continue // 0.0.0.0 is illegal here (RFC 2132 §5.8)
		}
		p := netip.PrefixFrom(dst, classBits(dst))
		if p.Masked().Addr() != dst {
			p = netip.PrefixFrom(dst, 32)
		}
		rs = append(rs, Route{Dst: p, GW: gw})
	}
	return rs
}

// addrs reads a list of addresses and leaves out what no host can be.
func addrs(raw []byte) []netip.Addr {
	var as []netip.Addr
	for ; len(raw) >= 4 && len(as) < maxAddrs; raw = raw[4:] {
		if a := netip.AddrFrom4([4]byte(raw[:4])); usable(a) {
			as = append(as, a)
		}
	}
	return as
}

// domain returns option 15 if it can stand in resolv.conf, else "".
func domain(raw []byte) string {
	name := strings.TrimRight(string(raw), "\x00 ")
	if !isName(name) {
		return ""
	}
	return name
}

// search reads option 119 (RFC 3397). Its names may share parts, so that a few
// bytes can stand for many: one longer than any message of ours is left alone.
func search(raw []byte) []string {
	if len(raw) > maxMessage {
		return nil
	}
	labels, err := rfc1035label.FromBytes(raw)
	if err != nil {
		return nil
	}
	var names []string
	for _, n := range labels.Labels {
		if isName(n) && len(names) < maxNames {
			names = append(names, n)
		}
	}
	return names
}

// isName keeps out what would write more than a name into resolv.conf.
func isName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._", r)
	}) < 0
}

func mtu(raw []byte) int {
	if len(raw) != 2 {
		return 0
	}
	if n := int(binary.BigEndian.Uint16(raw)); n >= minMTU {
		return n
	}
	return 0
}
