package lab

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/dhcpd"
)

// embedded is the server of package dhcpd, in this process.
type embedded struct {
	server *dhcpd.Server
}

func newEmbedded(s spec) (backend, error) {
	o := s.opts
	server, err := dhcpd.New(dhcpd.Config{
		In: s.ns.Do, Interface: s.iface, Address: s.addr,
		First: s.plan.first, Last: s.plan.last,
		Lease: o.Lease, T1: o.T1, T2: o.T2,
		Router: s.router(), DNS: o.DNS, Domain: o.Domain, MTU: o.MTU, Options: o.DHCPOptions,
	})
	if err != nil {
		return nil, err
	}
	s.lab.onClose(server.Stop)
	return &embedded{server}, nil
}

// router returns what clients are told, invalid for none.
func (s spec) router() netip.Addr {
	if s.opts.NoRouter {
		return netip.Addr{}
	}
	return s.addr.Addr()
}

func (e *embedded) start(context.Context) error { return e.server.Start() }

func (e *embedded) stop(bool) error {
	e.server.Stop()
	return nil
}

func (e *embedded) forget() error {
	e.server.Forget()
	return nil
}

func (e *embedded) leases() ([]Lease, error) {
	var leases []Lease
	for _, l := range e.server.ActiveLeases() {
		leases = append(leases, Lease{
			Addr: l.Addr, MAC: l.MAC.String(), ClientID: hex.EncodeToString(l.ClientID), Expires: l.Expires,
		})
	}
	return leases, nil
}

func (e *embedded) releases() ([]Release, error) {
	var releases []Release
	for _, m := range e.server.Received(dhcpv4.MessageTypeRelease) {
		if m.Known {
			releases = append(releases, Release{Addr: m.CIAddr, MAC: m.MAC.String()})
		}
	}
	return releases, nil
}

func (e *embedded) heard() []message {
	var heard []message
	for _, m := range e.server.Log() {
		if !m.Sent {
			heard = append(heard, message{Type: m.Type, MAC: m.MAC.String()})
		}
	}
	return heard
}

func (e *embedded) declined() ([]netip.Addr, error) {
	var declined []netip.Addr
	for _, m := range e.server.Received(dhcpv4.MessageTypeDecline) {
		if m.Known {
			declined = append(declined, m.Requested)
		}
	}
	return declined, nil
}

func (e *embedded) log() string {
	var b strings.Builder
	for _, m := range e.server.Log() {
		arrow := "<-"
		if m.Sent {
			arrow = "->"
		}
		fmt.Fprintf(&b, "%s %s %s %s xid %s ciaddr %s yiaddr %s requested %s from %s to %s (%s)\n", m.At.Format("15:04:05.000"),
			arrow, m.Type, m.MAC, m.XID, m.CIAddr, m.YIAddr, m.Requested, m.SrcIP, m.DstIP, m.DstMAC)
	}
	for _, err := range e.server.Notes() {
		fmt.Fprintf(&b, "note: %v\n", err)
	}
	return b.String()
}
