package vlan_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/podlan/podlan/integration/lab"
)

// mode is how a node brings its Pods onto VLANs.
type mode string

const (
	// subinterface: the node's address is on its NIC, and no bridge there.
	subinterface mode = "subinterface"
	// filtering: the administrator's bridge lan0 tells VLANs apart, has the NIC
	// as its port and the node's address in VLAN 1.
	filtering mode = "filtering"
)

func modes() []mode { return []mode{subinterface, filtering} }

func (m mode) node() lab.NodeOptions {
	if m == filtering {
		return lab.NodeOptions{Bridge: "lan0", Filtering: true}
	}
	return lab.NodeOptions{}
}

// keys put a network on the VLAN, the mode left to what stands.
func (m mode) keys(vid uint16) object { return object{"vlan": vid, "uplink": "eth1"} }

// vids are those that a Pod may have, 0: untagged.
func (m mode) vids() []uint16 {
	if m == filtering {
		return []uint16{0, 10, 20, 30}
	}
	return []uint16{10, 20, 30} // where the NIC has the node's address, untagged Pods are refused
}

// site is a LAN of a trunking switch with three VLANs and the untagged one, all
// with the same addresses and a DHCP server of their own. There is a host in
// each, and a node whose port carries all of them.
type site struct {
	*lab.Lab
	mode  mode
	node  *lab.Node
	vlans map[uint16]*lab.VLAN
	// hosts by VID, 0: on the untagged LAN.
	hosts map[uint16]*lab.Host
	liars int
}

// newSite builds it with the embedded server in VLAN 10 and on the untagged LAN,
// dnsmasq in 20, and in 30 an embedded one on a trunk port. The node is the mode's
// unless another is given.
func newSite(t *testing.T, m mode, node ...lab.NodeOptions) *site {
	t.Helper()
	return newSiteWith(t, m, map[uint16]lab.VLANOptions{
		10: {},
		20: {Options: lab.Options{Server: lab.Dnsmasq}},
		30: {ServerTagged: true},
	}, node...)
}

// newStaticSite builds it without DHCP servers.
func newStaticSite(t *testing.T, m mode, vids ...uint16) *site {
	t.Helper()
	vlans := map[uint16]lab.VLANOptions{}
	for _, vid := range vids {
		vlans[vid] = lab.VLANOptions{Options: lab.Options{Server: lab.None}}
	}
	return newSiteWith(t, m, vlans)
}

func newSiteWith(t *testing.T, m mode, vlans map[uint16]lab.VLANOptions, node ...lab.NodeOptions) *site {
	t.Helper()
	opts := lab.Options{}
	if !slices.ContainsFunc(slices.Collect(maps.Values(vlans)), func(o lab.VLANOptions) bool { return o.Server != lab.None }) {
		opts.Server = lab.None
	}
	s := &site{Lab: newLab(t, opts), mode: m, vlans: map[uint16]*lab.VLAN{}, hosts: map[uint16]*lab.Host{}}
	s.populate(vlans)
	// The node is on a port that carries all VLANs.
	s.node = s.Node("n1", append(node, m.node())[0])
	s.node.Trunk(slices.Collect(maps.Keys(s.vlans))...)
	return s
}

// populate adds the VLANs, and a host in each and on the untagged LAN.
func (s *site) populate(vlans map[uint16]lab.VLANOptions) {
	s.hosts[0] = s.Host("host0")
	for vid, o := range vlans {
		s.vlans[vid] = s.VLAN(vid, o)
		s.hosts[vid] = s.vlans[vid].Host(fmt.Sprintf("host%d", vid))
	}
}

// server is the VLAN's, 0: the untagged LAN's.
func (s *site) server(vid uint16) *lab.Server {
	if vid == 0 {
		return s.Server()
	}
	return s.vlans[vid].Server()
}

// trunk captures the node's cable, tags included. Frames from the node are not
// Outgoing.
func (s *site) trunk() *lab.Capture {
	return s.Switch().Capture(s.node.SwitchPort, nil)
}
