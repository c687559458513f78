// Package leg is the way between a Pod and its node, and from a Pod to
// Services: routes and neighbours on both sides, and the node's rules that
// translate sources. It touches the Pod's namespace that it is given, the leg
// device's routes and neighbours, its own nftables tables and, where iptables has
// FORWARD, rules in it that accept what it might drop of ours.
package leg

import (
	"net"
	"net/netip"

	"github.com/podlan/podlan/pkg/netconf"
)

// Gateway is the node as a Pod knows it, whatever the Pod's own network.
func Gateway() netip.Addr { return netip.AddrFrom4([4]byte{169, 254, 1, 1}) }

// Leg is one Pod's.
type Leg struct {
	// Port is the Pod's host end: the key of what the node keeps for it.
	Port string
	// Device is the node's side: the bridge, or its VLAN device. It bears no
	// address of ours.
	Device string
	// Bridge is what Device is or stands on.
	Bridge string
	// Addrs are the Pod's, MAC its hardware address.
	Addrs []netip.Prefix
	MAC   net.HardwareAddr
	// NodeIP is what the node shows to backends and to the Pod.
	NodeIP  netip.Addr
	Service netconf.Service
}

// addrs are the Pod's addresses that the leg serves: those of IPv4.
func (l Leg) addrs() []netip.Addr {
	var addrs []netip.Addr
	for _, p := range l.Addrs {
		if p.Addr().Is4() {
			addrs = append(addrs, p.Addr())
		}
	}
	return addrs
}
