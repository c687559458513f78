package guard

import (
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
)

// The protocols of routers, the same in IPv6.
const (
	protoEIGRP = 88
	protoOSPF  = 89
	protoPIM   = 103
	protoVRRP  = 112
)

// multicast4 is 224.0.0.0/24, which no router forwards.
func multicast4() match { return network(16, 3).Is(224, 0, 0) }

// sender4 is IPv4 with the port's MAC and an address that is allowed. What it
// carries nearly always passes in the cheapest way, without a look at another
// set: TCP, and UDP that is neither DHCP nor RIP, to no group of the segment.
func sender4() rules {
	const in = expr.MetaKeyIIFNAME
	elsewhere := network(16, 1).IsNot(224)
	// Ports are found in well-formed packets only; for TCP, carries sees to that.
	udp := network(9, 1).Is(unix.IPPROTO_UDP)
	return rules{
		rule(isMulticast(), portIn(in, setMulticastRate), drop(dropMulticast)),
		rule(elsewhere, udp, isPlainUDP(), accept()),
		rule(elsewhere, carries(unix.IPPROTO_TCP), accept()),
		rule(elsewhere, udp, isPlainLowUDP(), accept()),
		rule(carries(unix.IPPROTO_UDP), jump(chainUDP4)),
		rule(jump(chainOwnIP4)),
	}
}

// isPlainUDP: sent from a port above 255 to one above 255 and not from 512 to
// 767, so neither DHCP nor RIP (RFC 1058: port 520 of everybody). The kernel
// does such comparisons of single bytes without a call, unlike those of ranges
// and sets.
func isPlainUDP() match {
	return append(transport(0, 1).IsNot(0), transport(2, 1).neither(0, 2)...)
}

// isPlainLowUDP: to one below 256, DNS for one, that is not DHCP's.
func isPlainLowUDP() match {
	return slices.Concat(transport(0, 1).IsNot(0), transport(2, 1).Is(0), transport(3, 1).neither(67, 68))
}

func ip4() rules {
	return rules{
		// Before the address, so that a Pod's DISCOVER counts as DHCP.
		rule(carries(unix.IPPROTO_UDP), jump(chainUDP4)),
		rule(network(12, 4).notIn(setIP4), call(chainForeignIP4)),
		rule(jump(chainOwnIP4)),
	}
}

// ownIP4 is IPv4 but UDP, from an address that is allowed.
func ownIP4() rules {
	icmpType := transport(0, 1)
	checks := rules{
		rule(multicast4(), jump(chainMulticast4)),
		rule(carries(unix.IPPROTO_TCP), accept()),
		rule(carries(unix.IPPROTO_ICMP), icmpType.Is(5), drop(dropControl)), // redirect
		rule(carries(unix.IPPROTO_ICMP), icmpType.Is(9), drop(dropControl)), // router advertisement, RFC 1256
		rule(carries(unix.IPPROTO_IGMP), jump(chainIGMP)),
	}
	return append(append(checks, routing()...), rule(wellFormed(), accept()), rule(drop(dropControl)))
}

// routing is what routers say to each other, whatever the address; VRRP's own
// destinations are allowed where they are known.
func routing() rules {
	var all rules
	for _, protocol := range []byte{protoEIGRP, protoOSPF, protoPIM} {
		all = append(all, orRouting(carries(protocol))...)
	}
	return append(all, rule(carries(protoVRRP), drop(dropControl)))
}

// orRouting drops what matches unless the port may be a router.
func orRouting(what match) rules {
	return rules{
		rule(what, portIn(expr.MetaKeyIIFNAME, setRouting), accept()),
		rule(what, drop(dropControl)),
	}
}

func foreignIP4() rules { return unlessFree(dropAddress) }

// igmp is what a member of groups says (RFC 9776 §4, RFC 2236 §2).
func igmp() rules {
	kind := transport(0, 1)
	var all rules
	for _, report := range []byte{0x12, 0x16, 0x22, 0x17} { // v1, v2, v3, leave
		all = append(all, rule(kind.Is(report), accept()))
	}
	return append(all, rule(portIn(expr.MetaKeyIIFNAME, setRouting), accept()), rule(drop(dropControl)))
}

// localMulticast4 is an allow-list: whoever speaks here is heard by all routers
// and switches of the segment.
func localMulticast4() rules {
	const in = expr.MetaKeyIIFNAME
	udp, port := carries(unix.IPPROTO_UDP), transport(2, 2)
	all := rules{
		rule(carries(unix.IPPROTO_IGMP), jump(chainIGMP)),
		rule(udp, port.Is(0x14, 0xe9), accept()), // 5353: mDNS
		rule(udp, port.Is(0x14, 0xeb), accept()), // 5355: LLMNR
		// What follows a first fragment that passed; alone it is nothing.
		rule(udp, network(6, 2).Masked([]byte{0x1f, 0xff}, expr.CmpOpNeq, []byte{0, 0}), accept()),
		rule(carries(protoVRRP), network(16, 4).Is(224, 0, 0, 18), portIn(in, setVRRP), accept()),
		rule(udp, port.Is(2, 8), portIn(in, setRouting), accept()), // 520: RIP
	}
	for _, protocol := range []byte{protoEIGRP, protoOSPF, protoPIM} {
		all = append(all, rule(carries(protocol), portIn(in, setRouting), accept()))
	}
	return append(all, rule(drop(dropControl)))
}

// udp4 looks at DHCP and RIP.
func udp4() rules {
	const in = expr.MetaKeyIIFNAME
	from, to := transport(0, 2), transport(2, 2)
	server, client := []byte{0, 67}, []byte{0, 68}
	return rules{
		rule(isPlainUDP(), jump(chainPlainUDP4)),
		rule(isPlainLowUDP(), jump(chainPlainUDP4)),
		rule(transport(0, 4).Is(0, 68, 0, 67), portIn(in, setDHCP), jump(chainDHCP)),
		rule(from.Is(server...), to.Within(server, client), portIn(in, setServer), jump(chainPlainUDP4)),
		rule(from.Within(server, client), drop(dropDHCP)),
		rule(to.Within(server, client), drop(dropDHCP)),
		rule(to.Is(2, 8), portIn(in, setRouting), jump(chainPlainUDP4)),
		rule(to.Is(2, 8), drop(dropControl)),
		rule(jump(chainPlainUDP4)), // fragments without ports too
	}
}

// plainUDP4 is what any Pod may send, as far as its address and the group allow.
func plainUDP4() rules {
	return rules{
		rule(network(12, 4).notIn(setIP4), call(chainForeignIP4)),
		rule(multicast4(), jump(chainMulticast4)),
		rule(accept()),
	}
}

// dhcp is the opening for a Pod's own client (RFC 2131 §2): its requests, whole
// in one packet, for its own MAC and about no address but its own.
func dhcp() rules {
	source := network(12, 4)
	kind, ciaddr, giaddr, chaddr := transport(8, 3), transport(20, 4), transport(32, 4), transport(36, 6)
	return rules{
		rule(network(6, 2).Masked([]byte{0x3f, 0xff}, expr.CmpOpNeq, []byte{0, 0}), drop(dropDHCP)), // a fragment
		rule(kind.IsNot(1, 1, 6), drop(dropDHCP)),                                                   // BOOTREQUEST, Ethernet, 6 bytes
		rule(chaddr.notIn(setMAC), drop(dropDHCP)),
		rule(giaddr.IsNot(0, 0, 0, 0), drop(dropDHCP)), // a relay's
		rule(ciaddr.IsNot(0, 0, 0, 0), ciaddr.notIn(setIP4), call(chainForeignDHCP)),
		// The rule above lets pass what is too short to have the fields.
		rule(chaddr.in(setMAC), source.Is(0, 0, 0, 0), accept()),
		rule(chaddr.in(setMAC), source.in(setIP4), accept()),
		rule(chaddr.in(setMAC), portIn(expr.MetaKeyIIFNAME, setLayerTwo), accept()),
		rule(chaddr.in(setMAC), isTagged(), accept()),
		rule(drop(dropDHCP)),
	}
}

// towardsPod: DHCP replies reach only a port that has a client; another's kernel
// would answer the server with an ICMP error. The port of UDP comes first, since
// to compare it costs everything else that a bridge hands on the least.
func towardsPod() rules {
	return rules{rule(transport(2, 2).Is(0, 68), carries(unix.IPPROTO_UDP), isIPv4(),
		isPod(expr.MetaKeyOIFNAME, rtnl.GuardedPrefix), jump(chainToPod))}
}

func dhcpToPod() rules {
	return rules{
		rule(portIn(expr.MetaKeyOIFNAME, setDHCP), accept()),
		rule(drop(dropToPod)),
	}
}
