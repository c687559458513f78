package guard

import (
	"fmt"

	"github.com/google/nftables/expr"

	"github.com/podlan/podlan/pkg/nft"
	"github.com/podlan/podlan/pkg/rtnl"
)

// version is the ruleset's; it is part of the name of the set of ports, so that
// a table of another version is noticed for nothing. Raise it with every change
// of sets or rules.
const version = "4"

// The sets. Keys begin with a port's name; setPorts has a note with each.
const (
	setPortsPrefix   = "ports_v"
	setPorts         = setPortsPrefix + version
	setSender4       = "sender4"
	setAnySender4    = "sender4_any"
	setMAC           = "mac"
	setIP4           = "ip4"
	setIP6           = "ip6"
	setVirtualIP4    = "vrrp_ip4"
	setDHCP          = "dhcp_client"
	setLayerTwo      = "layer2"
	setServer        = "dhcp_server"
	setRA            = "router_advertisement"
	setVRRP          = "vrrp"
	setRouting       = "multicast_routing"
	setTrunk         = "vlan_trunk"
	setARPRate       = "arp_rate"
	setMulticastRate = "multicast_rate"
	setDrops         = "drops"
)

// The counters, one for each kind of drop.
const (
	dropMAC       = "wrong_mac"
	dropType      = "wrong_ethertype"
	dropARP       = "wrong_arp"
	dropAddress   = "wrong_address"
	dropDHCP      = "dhcp"
	dropControl   = "control"
	dropToPod     = "dhcp_to_pod"
	dropARPRate   = "arp_rate"
	dropMulticast = "multicast_rate"
)

// The chains that rules go to.
const (
	chainDrop        = "drop_"
	chainForeignMAC  = "foreign_mac"
	chainForeignIP4  = "foreign_ip4"
	chainForeignIP6  = "foreign_ip6"
	chainForeignDHCP = "foreign_dhcp"
	chainForeignND   = "foreign_nd"
	chainARP         = "arp_from_pod"
	chainSender4     = "sender4_from_pod"
	chainIP4         = "ip4_from_pod"
	chainOwnIP4      = "own_ip4_from_pod"
	chainIP6         = "ip6_from_pod"
	chainUDP4        = "udp4_from_pod"
	chainUDP6        = "udp6_from_pod"
	chainPlainUDP4   = "plain_udp4_from_pod"
	chainICMP6       = "icmp6_from_pod"
	chainIGMP        = "igmp_from_pod"
	chainMulticast4  = "local_multicast4"
	chainDHCP        = "dhcp_from_pod"
	chainTagged      = "tagged_from_pod"
	chainToPod       = "dhcp_to_pod"
	chainFrom        = "from_pod"
	chainForward     = "forward_to_pod"
	chainOutput      = "output_to_pod"
)

// counters are the kinds of drop; a kind's place is its key in setDrops.
func counters() []string {
	return []string{dropMAC, dropType, dropARP, dropAddress, dropDHCP, dropControl, dropToPod, dropARPRate, dropMulticast}
}

type rules []match

// placed returns all rules, each with a note that says which of them it is.
func placed() []nft.Rule {
	var all []nft.Rule
	for _, ch := range chains() {
		for i, r := range ch.rules {
			all = append(all, nft.Rule{Chain: ch.Name, Note: fmt.Sprintf("podlan v%s rule %d", version, i+1), Match: r})
		}
	}
	return all
}

// dropped counts for all, then for the port, and drops: for what reason is the
// chain that a frame was sent to. Legitimate frames never come here.
func dropped(kind int, name string) rules {
	port := expr.MetaKeyIIFNAME
	if name == dropToPod {
		port = expr.MetaKeyOIFNAME
	}
	return rules{
		// A port without elements is not in the set: its rule ends there.
		rule(count(name), countFor(port, kind)),
		rule(match{&expr.Verdict{Kind: expr.VerdictDrop}}),
	}
}

// fromPod is where every frame that enters a bridge passes first, before the
// bridge learns from it. All but ports of ours leave by its first comparison.
// What nearly every frame is, IPv4 with the port's MAC and address, takes one
// look at one set, or two where addresses are free; the others, and a port
// without elements, are told apart after it.
func fromPod() rules {
	const in = expr.MetaKeyIIFNAME
	etherType := ether(12, 2)
	return rules{
		rule(isNoPod(in, rtnl.GuardedPrefix), accept()),
		rule(isIPv4(), isSender4(), jump(chainSender4)),
		rule(isIPv4(), macAndType().in(setAnySender4), jump(chainSender4)),
		rule(ether(6, 6).notIn(setMAC), call(chainForeignMAC)),
		rule(isMulticast(), portIn(in, setMulticastRate), drop(dropMulticast)),
		rule(etherType.Is(0x86, 0xdd), jump(chainIP6)),
		rule(etherType.Is(0x08, 0x00), jump(chainIP4)),
		rule(etherType.Is(0x08, 0x06), jump(chainARP)),
		rule(isTagged(), isInTrunk(), jump(chainTagged)),
		// BPDU, LLDP, EAPOL, PPPoE, RARP, and every other tag: priority, QinQ.
		rule(drop(dropType)),
	}
}

// tagged is what comes with one tag of the port's trunk. The kernel finds the
// headers behind the tag, so that the same rules hold, but for the addresses.
func tagged() rules {
	innerType := ether(16, 2)
	return rules{
		rule(innerType.Is(0x86, 0xdd), jump(chainIP6)),
		rule(innerType.Is(0x08, 0x00), jump(chainIP4)),
		rule(innerType.Is(0x08, 0x06), jump(chainARP)),
		rule(drop(dropType)), // a second tag among them
	}
}

// isVirtual: one of the MACs of a virtual router (RFC 9568 §7.3).
func isVirtual(mac load) match {
	return mac.Within([]byte{0, 0, 0x5e, 0, 1, 0}, []byte{0, 0, 0x5e, 0, 2, 0xff})
}

func foreignMAC() rules {
	return rules{
		rule(isVirtual(ether(6, 6)), portIn(expr.MetaKeyIIFNAME, setVRRP), back()),
		rule(drop(dropMAC)),
	}
}

// unlessFree drops what no address of the port allows, unless its addresses are
// free: those of the port, or those of a frame of its trunk.
func unlessFree(kind string) rules {
	return rules{
		rule(portIn(expr.MetaKeyIIFNAME, setLayerTwo), back()),
		rule(isTagged(), back()),
		rule(drop(kind)),
	}
}

// arp ties sender MAC and address. RFC 5227 §2.1.1: a probe for an address has
// no sender address yet.
func arp() rules {
	operation, senderMAC, senderIP, targetIP := network(6, 2), network(8, 6), network(14, 4), network(24, 4)
	valid := operation.Within([]byte{0, 1}, []byte{0, 2})
	return rules{
		rule(portIn(expr.MetaKeyIIFNAME, setARPRate), drop(dropARPRate)),
		rule(network(0, 6).IsNot(0, 1, 8, 0, 6, 4), drop(dropARP)), // Ethernet, IPv4, lengths 6 and 4
		rule(valid, senderMAC.in(setMAC), senderIP.in(setIP4), accept()),
		rule(valid, senderMAC.in(setMAC), portIn(expr.MetaKeyIIFNAME, setLayerTwo), accept()),
		rule(valid, senderMAC.in(setMAC), isTagged(), accept()),
		rule(operation.Is(0, 1), senderMAC.in(setMAC), senderIP.Is(0, 0, 0, 0), targetIP.in(setIP4), accept()),
		rule(valid, isVirtual(senderMAC), senderIP.in(setVirtualIP4), accept()),
		rule(drop(dropARP)),
	}
}
