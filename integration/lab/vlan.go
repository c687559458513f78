package lab

import (
	"fmt"
	"net/netip"

	"github.com/podlan/podlan/integration/lab/ether"
)

// VLANOptions describe one VLAN of a LAN. Its addresses, lease times and so on
// default to what a LAN's do: unless a test says otherwise all VLANs have the
// same ones, and their hosts meet on none.
type VLANOptions struct {
	// Options are the VLAN's own. Domain defaults to vlan<VID>.example, which
	// tells whose lease somebody has.
	Options
	// ServerTagged puts the server on a trunk port, where it serves on a VLAN
	// device, instead of on an access port.
	ServerTagged bool
	// Inner is the 802.1Q VLAN within this one, in which all hosts and the server
	// are: QinQ, where the switch is a provider's. 0: they are in this one.
	Inner uint16
}

// VLAN is a broadcast domain on a LAN whose switch is Trunking: a subnet, a DHCP
// server, hosts.
//
//	l := lab.New(t, lab.Options{Trunking: true})
//	office, guests := l.VLAN(10, lab.VLANOptions{}), l.VLAN(20, lab.VLANOptions{})
//	client := office.Host("client")
//	node := l.Node("n1", lab.NodeOptions{})
//	node.Trunk(10, 20)
type VLAN struct {
	// ID is its VID.
	ID uint16

	lab    *Lab
	opts   VLANOptions
	plan   plan
	server *Server
}

// VLAN adds a VLAN with, unless told None, a DHCP server, which is its router as
// well.
func (l *Lab) VLAN(id uint16, opts VLANOptions) *VLAN {
	l.tb.Helper()
	v, err := l.newVLAN(id, opts)
	if err != nil {
		l.tb.Fatalf("lab: VLAN %d: %v", id, err)
	}
	return v
}

func (l *Lab) newVLAN(id uint16, opts VLANOptions) (*VLAN, error) {
	if !l.opts.Trunking && !l.opts.Provider {
		return nil, fmt.Errorf("the switch must be Trunking")
	}
	if opts.Domain == "" {
		opts.Domain = fmt.Sprintf("vlan%d.example", id)
	}
	var err error
	if opts.Options, err = opts.complete(); err != nil {
		return nil, err
	}
	v := &VLAN{ID: id, lab: l, opts: opts, plan: newPlan(opts.Options)}
	if opts.Server == None {
		return v, nil
	}
	v.server, err = v.newServer()
	return v, err
}

func (v *VLAN) newServer() (*Server, error) {
	name := fmt.Sprintf("%s%d", serverName, v.ID)
	host, err := v.newHost(name, v.plan.on(v.plan.server), v.opts.ServerTagged)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	dir, err := v.lab.subdir(name)
	if err != nil {
		return nil, err
	}
	b, err := newBackend(v.lab.tb.Context(), v.opts.Server, spec{
		opts: v.opts.Options, plan: v.plan, ns: host.Netns, iface: host.Iface, addr: host.Addr, dir: dir, lab: v.lab,
	})
	if err != nil {
		return nil, fmt.Errorf("DHCP server %s: %w", v.opts.Server, err)
	}
	s := &Server{Host: host, kind: v.opts.Server, tb: v.lab.tb, backend: b}
	v.lab.onClose(func() {
		if v.lab.tb.Failed() {
			v.lab.tb.Logf("DHCP server %s of VLAN %d:\n%s", s.kind, v.ID, tail(s.Log(), 200))
		}
	})
	return s, s.start(v.lab.tb.Context())
}

// Server returns the VLAN's DHCP server, nil where it was built with None.
func (v *VLAN) Server() *Server { return v.server }

// Domain is what the VLAN's DHCP server tells its clients as theirs.
func (v *VLAN) Domain() string { return v.opts.Domain }

// Host adds a host on an access port of the VLAN, with the next free address.
func (v *VLAN) Host(name string) *Host {
	v.lab.tb.Helper()
	h, err := v.newHost(name, v.plan.host(), false)
	if err != nil {
		v.lab.tb.Fatalf("lab: VLAN %d: host %s: %v", v.ID, name, err)
	}
	return h
}

// newHost plugs a host in, on a trunk port where the host itself has to tag.
func (v *VLAN) newHost(name string, addr netip.Prefix, tagged bool) (*Host, error) {
	ns, err := v.lab.newNetns(name)
	if err != nil {
		return nil, err
	}
	h := &Host{Netns: ns, Iface: hostNIC, Addr: addr}
	if h.SwitchPort, err = v.lab.sw.plug(ns, hostNIC, nil, 0); err != nil {
		return nil, err
	}
	if err := v.join(h, tagged); err != nil {
		return nil, err
	}
	if v.opts.Inner != 0 {
		within := fmt.Sprintf("%s.%d", h.Iface, v.opts.Inner)
		if err := h.AddVLANLink(h.Iface, within, v.opts.Inner, ether.Dot1Q); err != nil {
			return nil, err
		}
		h.Iface = within
	}
	if err := h.AddAddress(h.Iface, addr); err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	return h, nil
}

// join puts the host's port into the VLAN alone.
func (v *VLAN) join(h *Host, tagged bool) error {
	if err := v.lab.sw.ns.DropVLAN(h.SwitchPort, nativeVLAN, false); err != nil {
		return err
	}
	access := PortVLAN{VID: v.ID, PVID: !tagged, Untagged: !tagged}
	if err := v.lab.sw.ns.SetVLAN(h.SwitchPort, access, false); err != nil || !tagged {
		return err
	}
	protocol := uint16(ether.Dot1Q)
	if v.lab.opts.Provider {
		protocol = ether.Dot1AD
	}
	h.Iface = fmt.Sprintf("%s.%d", hostNIC, v.ID)
	return h.AddVLANLink(hostNIC, h.Iface, v.ID, protocol)
}

// nativeVLAN is what a port of a Trunking switch is in, untagged, at first.
const nativeVLAN = 1

// Trunk has the host's port carry the VLANs tagged, beside what it carries
// untagged.
func (h *Host) Trunk(vids ...uint16) {
	h.lab.tb.Helper()
	for _, vid := range vids {
		h.must("trunk", h.lab.sw.ns.SetVLAN(h.SwitchPort, PortVLAN{VID: vid}, false))
	}
}

// Native has the host's port carry the VLAN untagged, instead of what it carried
// so.
func (h *Host) Native(vid uint16) {
	h.lab.tb.Helper()
	table, err := h.lab.sw.ns.VLANTable(h.SwitchPort)
	h.must("native VLAN", err)
	for _, entry := range table {
		if entry.Untagged && entry.VID != vid {
			h.must("native VLAN", h.lab.sw.ns.DropVLAN(h.SwitchPort, entry.VID, false))
		}
	}
	h.must("native VLAN", h.lab.sw.ns.SetVLAN(h.SwitchPort, PortVLAN{VID: vid, PVID: true, Untagged: true}, false))
}

func (h *Host) must(what string, err error) {
	h.lab.tb.Helper()
	if err != nil {
		h.lab.tb.Fatalf("lab: %s of %s: %v", what, h.name, err)
	}
}

// Tap adds a machine without an address whose port carries VLAN 1 untagged and
// the given ones tagged: it hears what is flooded in any of them, and can say
// anything.
func (l *Lab) Tap(name string, vids ...uint16) *Host {
	l.tb.Helper()
	h, err := l.newTap(name)
	if err != nil {
		l.tb.Fatalf("lab: tap %s: %v", name, err)
	}
	h.Trunk(vids...)
	return h
}

func (l *Lab) newTap(name string) (*Host, error) {
	ns, err := l.newNetns(name)
	if err != nil {
		return nil, err
	}
	// It says nothing by itself.
	if err := ns.SetSysctl("net.ipv6.conf.default.disable_ipv6", "1"); err != nil {
		return nil, err
	}
	h := &Host{Netns: ns, Iface: hostNIC}
	h.SwitchPort, err = l.sw.plug(ns, hostNIC, nil, 0)
	return h, err
}

// Send puts frames on the wire of the namespace's interface, in this order.
func (n *Netns) Send(iface string, frames ...[]byte) error {
	_, sock, err := n.packetSocket(iface)
	if err != nil {
		return err
	}
	defer sock.Close()
	for _, frame := range frames {
		if err := sock.Send(frame); err != nil {
			return err
		}
	}
	return nil
}
