package guard

import (
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
)

// version is the ruleset's; it is part of the name of the set of ports, so that
// a table of another version is noticed for nothing. Raise it with every change
// of sets or rules.
const version = "1"

// The sets. Keys begin with a port's name; setPorts has a note with each.
const (
	setPortsPrefix = "ports_v"
	setPorts       = setPortsPrefix + version
	setMAC         = "mac"
	setIP4         = "ip4"
	setIP6         = "ip6"
	setDHCP        = "dhcp_client"
	setLayerTwo    = "layer2"
)

// The counters, one for each kind of drop.
const (
	dropMAC     = "wrong_mac"
	dropType    = "wrong_ethertype"
	dropARP     = "wrong_arp"
	dropAddress = "wrong_address"
	dropDHCP    = "dhcp"
	dropControl = "control"
	dropToPod   = "dhcp_to_pod"
)

// The chains that rules go to.
const (
	chainARP     = "arp_from_pod"
	chainIP4     = "ip4_from_pod"
	chainIP6     = "ip6_from_pod"
	chainDHCP    = "dhcp_from_pod"
	chainIP4Any  = "ip4_layer2"
	chainIP6Any  = "ip6_layer2"
	chainToPod   = "dhcp_to_pod"
	chainFrom    = "from_pod"
	chainForward = "forward_to_pod"
	chainOutput  = "output_to_pod"
)

func counters() []string {
	return []string{dropMAC, dropType, dropARP, dropAddress, dropDHCP, dropControl, dropToPod}
}

type rules [][]expr.Any

// fromPod is where every frame that enters a bridge passes first, before the
// bridge learns from it. All but ports of ours leave by its first comparison; a
// port without elements is closed by its second.
func fromPod() rules {
	const in = expr.MetaKeyIIFNAME
	etherType := ether(12, 2)
	return rules{
		rule(isNoPod(in, rtnl.HostEndPrefix), accept()),
		rule(ether(6, 6).notIn(setMAC), drop(dropMAC)),
		rule(etherType.is(0x08, 0x00), jump(chainIP4)),
		rule(etherType.is(0x08, 0x06), jump(chainARP)),
		rule(etherType.is(0x86, 0xdd), jump(chainIP6)),
		// BPDU, LLDP, EAPOL, PPPoE, RARP, and every tag: 802.1Q, priority, QinQ.
		rule(drop(dropType)),
	}
}

// arp ties sender MAC and address. RFC 5227 §2.1.1: a probe for an address has
// no sender address yet.
func arp() rules {
	operation, senderMAC, senderIP, targetIP := network(6, 2), network(8, 6), network(14, 4), network(24, 4)
	return rules{
		rule(network(0, 6).isNot(0, 1, 8, 0, 6, 4), drop(dropARP)), // Ethernet, IPv4, lengths 6 and 4
		rule(operation.within([]byte{0, 1}, []byte{0, 2}), senderMAC.in(setMAC), portIn(expr.MetaKeyIIFNAME, setLayerTwo), accept()),
		rule(operation.within([]byte{0, 1}, []byte{0, 2}), senderMAC.in(setMAC), senderIP.in(setIP4), accept()),
		rule(operation.is(0, 1), senderMAC.in(setMAC), senderIP.is(0, 0, 0, 0), targetIP.in(setIP4), accept()),
		rule(drop(dropARP)),
	}
}

func ip4() rules {
	source, icmpType := network(12, 4), transport(0, 1)
	return rules{
		rule(portIn(expr.MetaKeyIIFNAME, setLayerTwo), jump(chainIP4Any)),
		rule(carries(unix.IPPROTO_UDP), transport(0, 4).is(0, 68, 0, 67), portIn(expr.MetaKeyIIFNAME, setDHCP), jump(chainDHCP)),
		rule(carries(unix.IPPROTO_UDP), transport(0, 2).within([]byte{0, 67}, []byte{0, 68}), drop(dropDHCP)),
		rule(carries(unix.IPPROTO_UDP), transport(2, 2).within([]byte{0, 67}, []byte{0, 68}), drop(dropDHCP)),
		rule(source.notIn(setIP4), drop(dropAddress)),
		rule(carries(unix.IPPROTO_ICMP), icmpType.is(5), drop(dropControl)), // redirect
		rule(carries(unix.IPPROTO_ICMP), icmpType.is(9), drop(dropControl)), // router advertisement, RFC 1256
		rule(wellFormed(), accept()),
		rule(drop(dropControl)),
	}
}

// dhcp is the opening for a Pod's own client (RFC 2131 §2): its requests, whole
// in one packet, for its own MAC and about no address but its own.
func dhcp() rules {
	source := network(12, 4)
	kind, ciaddr, giaddr, chaddr := transport(8, 3), transport(20, 4), transport(32, 4), transport(36, 6)
	return rules{
		rule(network(6, 2).masked([]byte{0x3f, 0xff}, expr.CmpOpNeq, []byte{0, 0}), drop(dropDHCP)), // a fragment
		rule(kind.isNot(1, 1, 6), drop(dropDHCP)),                                                   // BOOTREQUEST, Ethernet, 6 bytes
		rule(chaddr.notIn(setMAC), drop(dropDHCP)),
		rule(giaddr.isNot(0, 0, 0, 0), drop(dropDHCP)), // a relay's
		rule(ciaddr.isNot(0, 0, 0, 0), ciaddr.notIn(setIP4), drop(dropDHCP)),
		// The rule above lets pass what is too short to have the fields.
		rule(chaddr.in(setMAC), source.is(0, 0, 0, 0), accept()),
		rule(chaddr.in(setMAC), source.in(setIP4), accept()),
		rule(drop(dropDHCP)),
	}
}

func ip6() rules {
	source, target, icmpType := network(8, 16), transport(8, 16), transport(0, 1)
	unspecified := source.is(make([]byte, 16)...)
	linkScope := network(24, 2).is(0xff, 0x02)
	icmp := carries(unix.IPPROTO_ICMPV6)
	return rules{
		rule(portIn(expr.MetaKeyIIFNAME, setLayerTwo), jump(chainIP6Any)),
		rule(unspecified, icmp, icmpType.is(135), target.in(setIP6), accept()), // duplicate detection, RFC 4862 §5.4
		rule(unspecified, linkScope, icmp, icmpType.is(131), accept()),         // MLD report
		rule(unspecified, linkScope, icmp, icmpType.is(143), accept()),         // MLDv2 report
		rule(source.notIn(setIP6), drop(dropAddress)),
		// RFC 6980: what could hide an advertisement in fragments.
		rule(network(8, 2).masked([]byte{0xff, 0xc0}, expr.CmpOpEq, []byte{0xfe, 0x80}), isFragment(), drop(dropControl)),
		rule(icmp, icmpType.is(134), drop(dropControl)), // router advertisement
		rule(icmp, icmpType.is(137), drop(dropControl)), // redirect
		rule(icmp, icmpType.is(130), drop(dropControl)), // MLD query
		rule(icmp, icmpType.is(136), target.notIn(setIP6), drop(dropControl)),
		rule(carries(unix.IPPROTO_UDP), transport(0, 2).within([]byte{2, 34}, []byte{2, 35}), drop(dropDHCP)), // ports 546, 547
		rule(wellFormed(), accept()),
		rule(drop(dropControl)),
	}
}

func ip4Any() rules {
	return rules{
		rule(carries(unix.IPPROTO_UDP), transport(0, 2).is(0, 67), drop(dropDHCP)),
		rule(wellFormed(), accept()),
		rule(drop(dropControl)),
	}
}

func ip6Any() rules {
	icmp := carries(unix.IPPROTO_ICMPV6)
	return rules{
		rule(network(8, 2).masked([]byte{0xff, 0xc0}, expr.CmpOpEq, []byte{0xfe, 0x80}), isFragment(), drop(dropControl)),
		rule(icmp, transport(0, 1).is(134), drop(dropControl)),
		rule(icmp, transport(0, 1).is(137), drop(dropControl)),
		rule(carries(unix.IPPROTO_UDP), transport(0, 2).is(2, 35), drop(dropDHCP)),
		rule(wellFormed(), accept()),
		rule(drop(dropControl)),
	}
}

// towardsPod: DHCP replies reach only a port that has a client; another's kernel
// would answer the server with an ICMP error.
func towardsPod() rules {
	return rules{rule(isPod(expr.MetaKeyOIFNAME, rtnl.HostEndPrefix), isIPv4(), carries(unix.IPPROTO_UDP), transport(2, 2).is(0, 68), jump(chainToPod))}
}

func dhcpToPod() rules {
	return rules{
		rule(portIn(expr.MetaKeyOIFNAME, setDHCP), accept()),
		rule(portIn(expr.MetaKeyOIFNAME, setLayerTwo), accept()),
		rule(drop(dropToPod)),
	}
}
