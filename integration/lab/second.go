package lab

import (
	"fmt"
	"net/netip"
)

// SecondServer adds a machine with an embedded DHCP server of its own identity
// and pool to the LAN, beside the first.
func (l *Lab) SecondServer(name string, first, last netip.Addr) *Server {
	l.tb.Helper()
	s, err := l.newSecondServer(name, first, last)
	if err != nil {
		l.tb.Fatalf("lab: %v", err)
	}
	return s
}

func (l *Lab) newSecondServer(name string, first, last netip.Addr) (*Server, error) {
	host, err := l.newHost(name, l.plan.host())
	if err != nil {
		return nil, fmt.Errorf("server %s: %w", name, err)
	}
	p := l.plan
	p.first, p.last = first, last
	b, err := newEmbedded(spec{opts: l.opts, plan: p, ns: host.Netns, iface: hostNIC, addr: host.Addr, lab: l})
	if err != nil {
		return nil, fmt.Errorf("server %s: %w", name, err)
	}
	s := &Server{Host: host, kind: Embedded, tb: l.tb, backend: b}
	return s, s.start(l.tb.Context())
}
