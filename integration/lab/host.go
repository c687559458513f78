package lab

import (
	"fmt"
	"net/netip"
)

// Host is a machine on the LAN that knows nothing of Podlan.
type Host struct {
	*Netns
	// Iface is its interface with its address on the LAN.
	Iface string
	// Addr is its address, with the LAN's prefix length.
	Addr netip.Prefix
	// SwitchPort is the switch's end of its cable.
	SwitchPort string
}

// hostNIC is the name of every host's interface.
const hostNIC = "eth0"

// Host adds a host with the LAN's next free address and the router as default
// route.
func (l *Lab) Host(name string) *Host {
	l.tb.Helper()
	h, err := l.newHost(name, l.plan.host())
	if err != nil {
		l.tb.Fatalf("lab: host %s: %v", name, err)
	}
	if name == serverName || l.server == nil || l.opts.NoRouter {
		return h
	}
	if err := h.addDefaultRoute(hostNIC, l.plan.server); err != nil {
		l.tb.Fatalf("lab: host %s: %v", name, err)
	}
	return h
}

func (l *Lab) newHost(name string, addr netip.Prefix) (*Host, error) {
	ns, err := l.newNetns(name)
	if err != nil {
		return nil, err
	}
	h := &Host{Netns: ns, Iface: hostNIC, Addr: addr}
	if h.SwitchPort, err = l.sw.plug(ns, hostNIC, nil, 0); err != nil {
		return nil, err
	}
	if err := ns.AddAddress(hostNIC, addr); err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	return h, nil
}

// Unplug pulls the host's cable out of the switch: its carrier is gone.
func (h *Host) Unplug() error { return h.lab.sw.ns.SetLink(h.SwitchPort, false) }

// Plug puts the cable back in.
func (h *Host) Plug() error { return h.lab.sw.ns.SetLink(h.SwitchPort, true) }
