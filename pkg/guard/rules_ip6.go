package guard

import (
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The types of ICMPv6 that matter: RFC 4861, RFC 2710, RFC 3810, RFC 4286.
const (
	mldQuery            = 130
	mldReport           = 131
	routerAdvertisement = 134
	neighbourSolicit    = 135
	neighbourAdvert     = 136
	redirect            = 137
	mldReport2          = 143
	multicastRouter     = 151
)

func ip6() rules {
	checks := rules{
		rule(network(8, 16).notIn(setIP6), call(chainForeignIP6)),
		// RFC 6980: what could hide an advertisement in fragments.
		rule(network(8, 2).Masked([]byte{0xff, 0xc0}, expr.CmpOpEq, []byte{0xfe, 0x80}), isFragment(), drop(dropControl)),
		rule(carries(unix.IPPROTO_TCP), accept()),
		rule(carries(unix.IPPROTO_ICMPV6), jump(chainICMP6)),
		rule(carries(unix.IPPROTO_UDP), call(chainUDP6)),
		rule(carries(protoVRRP), network(24, 16).Is(virtualRouters6()...), portIn(expr.MetaKeyIIFNAME, setVRRP), accept()),
	}
	return append(append(checks, routing()...), rule(wellFormed(), accept()), rule(drop(dropControl)))
}

// virtualRouters6 is ff02::12 (RFC 9568 §5.1.2.2).
func virtualRouters6() []byte { return []byte{0: 0xff, 1: 2, 15: 0x12} }

// foreignIP6: without an address there are duplicate detection (RFC 4862 §5.4)
// and reports of groups.
func foreignIP6() rules {
	source, target, icmpType := network(8, 16), transport(8, 16), transport(0, 1)
	unspecified := source.Is(make([]byte, 16)...)
	linkScope := network(24, 2).Is(0xff, 0x02)
	icmp := carries(unix.IPPROTO_ICMPV6)
	return append(rules{
		rule(unspecified, icmp, icmpType.Is(neighbourSolicit), target.in(setIP6), accept()),
		rule(unspecified, linkScope, icmp, icmpType.Is(mldReport), accept()),
		rule(unspecified, linkScope, icmp, icmpType.Is(mldReport2), accept()),
	}, unlessFree(dropAddress)...)
}

func icmp6() rules {
	const in = expr.MetaKeyIIFNAME
	kind, target := transport(0, 1), transport(8, 16)
	all := rules{
		rule(kind.Is(routerAdvertisement), portIn(in, setRA), accept()),
		rule(kind.Is(routerAdvertisement), drop(dropControl)),
		rule(kind.Is(redirect), drop(dropControl)),
		rule(kind.Is(neighbourAdvert), target.notIn(setIP6), call(chainForeignND)),
	}
	all = append(all, orRouting(kind.Is(mldQuery))...)
	return append(append(all, orRouting(kind.Is(multicastRouter))...), rule(accept()))
}

// udp6 looks at DHCPv6 and RIPng and comes back for what is neither.
func udp6() rules {
	const in = expr.MetaKeyIIFNAME
	from, to := transport(0, 2), transport(2, 2)
	client, server, rip := []byte{2, 34}, []byte{2, 35}, []byte{2, 9} // 546, 547, 521
	return rules{
		rule(from.Is(server...), portIn(in, setServer), back()),
		rule(from.Is(client...), portIn(in, setLayerTwo), portIn(in, setDHCP), back()),
		rule(from.Is(client...), isTagged(), portIn(in, setDHCP), back()),
		rule(from.Within(client, server), drop(dropDHCP)),
		// From whatever port: servers listen on theirs, and need not look where a
		// request comes from (RFC 8415 §7.2).
		rule(to.Within(client, server), drop(dropDHCP)),
		rule(to.Is(rip...), portIn(in, setRouting), back()),
		rule(to.Is(rip...), drop(dropControl)),
	}
}
