package lab

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Network is another LAN beside the lab's: a switch and a subnet of its own, for
// a node with a NIC on each where the kernel has no VLANs. It has no DHCP server.
type Network struct {
	name string
	lab  *Lab
	sw   *lanSwitch
	plan plan
}

// Network adds a LAN.
func (l *Lab) Network(name string, subnet netip.Prefix) *Network {
	l.tb.Helper()
	n, err := l.newNetwork(name, subnet)
	if err != nil {
		l.tb.Fatalf("lab: network %s: %v", name, err)
	}
	return n
}

func (l *Lab) newNetwork(name string, subnet netip.Prefix) (*Network, error) {
	ns, err := l.newNetns("switch-" + name)
	if err != nil {
		return nil, err
	}
	if err := ns.SetSysctl("net.ipv6.conf.default.disable_ipv6", "1"); err != nil {
		return nil, fmt.Errorf("silence the switch: %w", err)
	}
	if err := ns.addBridge(bridgeSpec{name: switchBridge, mtu: jumbo}); err != nil {
		return nil, err
	}
	return &Network{name: name, lab: l, sw: &lanSwitch{ns: ns}, plan: newPlan(Options{Subnet: subnet})}, nil
}

// Host adds a host with the network's next free address.
func (n *Network) Host(name string) *Host {
	n.lab.tb.Helper()
	ns, err := n.lab.newNetns(name)
	if err != nil {
		n.lab.tb.Fatalf("lab: host %s: %v", name, err)
	}
	h := &Host{Netns: ns, Iface: hostNIC, Addr: n.plan.host()}
	n.Plug(ns, hostNIC)
	if err := ns.AddAddress(hostNIC, h.Addr); err != nil {
		n.lab.tb.Fatalf("lab: host %s: %v", name, err)
	}
	return h
}

// Plug connects a namespace to the network by a NIC of the given name.
func (n *Network) Plug(ns *Netns, nic string) {
	n.lab.tb.Helper()
	if _, err := n.sw.plug(ns, nic, nil, 0); err != nil {
		n.lab.tb.Fatalf("lab: %s on network %s: %v", ns.name, n.name, err)
	}
}

// Gateway is the router's address.
func (n *Network) Gateway() netip.Addr { return n.plan.server }

// Gateway is the router's address on the lab's own LAN.
func (l *Lab) Gateway() netip.Addr { return l.plan.server }

// Route joins the lab's LAN and the others by a router with the gateways'
// addresses: the LAN's DHCP server or, where there is none, a host of its own.
func (l *Lab) Route(networks ...*Network) {
	l.tb.Helper()
	h, err := l.router()
	if err != nil {
		l.tb.Fatalf("lab: router: %v", err)
	}
	h.must("forwarding", h.SetSysctl("net.ipv4.ip_forward", "1"))
	for _, n := range networks {
		n.Plug(h.Netns, n.name)
		h.must("address", h.AddAddress(n.name, n.plan.on(n.plan.server)))
	}
}

func (l *Lab) router() (*Host, error) {
	if l.server != nil {
		return l.server.Host, nil
	}
	return l.newHost("router", l.plan.on(l.plan.server))
}

// AddRoute adds a route by a gateway; to 0.0.0.0/0 it is the default.
func (n *Netns) AddRoute(dev string, dst netip.Prefix, gw netip.Addr) error {
	return n.WithLink(dev, func(h *netlink.Handle, link netlink.Link) error {
		return h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(dst), Gw: gw.AsSlice()})
	})
}
