package dhcp4

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Limits on what one server may put into a Pod.
const (
	maxRoutes = 256 // more than maxMessage has room for
	maxAddrs  = 32
	maxNames  = 32
	maxName   = 253 // RFC 1035 §2.3.4, without the length octets at both ends
	minMTU    = 68  // RFC 2132 §5.1
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

// search reads option 119 (RFC 3397) as far as it is well-formed.
func search(raw []byte) []string {
	var names []string
	for pos := 0; pos < len(raw) && len(names) < maxNames; {
		name, next := readName(raw, pos)
		if next == 0 {
			break
		}
		if isName(name) {
			names = append(names, name)
		}
		pos = next
	}
	return names
}

// readName returns the name at pos and where the next one begins; zero if it is
// malformed. A name may end in a pointer to what stands before it (RFC 1035
// §4.1.4). That the last one ends with the option is pardoned.
func readName(raw []byte, pos int) (string, int) {
	var labels []string
	next := 0 // set by the first pointer
	for size := 0; pos < len(raw) && size <= maxName; {
		n, after := int(raw[pos]), pos+1
		switch {
		case n == 0:
			return strings.Join(labels, "."), cmp.Or(next, after)
		case n >= 0xc0 && after < len(raw) && (n&0x3f)<<8|int(raw[after]) < pos:
			next = cmp.Or(next, after+1)
			pos = (n&0x3f)<<8 | int(raw[after])
		case n < 0x40 && after+n <= len(raw):
			labels = append(labels, string(raw[after:after+n]))
			pos = after + n
			size += n + 1
		default:
			return "", 0
		}
	}
	if pos < len(raw) || next != 0 {
		return "", 0
	}
	return strings.Join(labels, "."), pos
}

// isName keeps out what would write more than a name into resolv.conf.
func isName(s string) bool {
	if s == "" || len(s) > maxName {
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
