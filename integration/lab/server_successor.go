package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
)

// Successor starts a server of the same kind with the leases of this one, on a
// host of its own: another address and server identifier, for the same pool.
// Both then serve; a test stops the former.
func (s *Server) Successor() *Server {
	s.tb.Helper()
	next, err := s.successor()
	if err != nil {
		s.tb.Fatalf("lab: successor of %s: %v", s.kind, err)
	}
	return next
}

func (s *Server) successor() (*Server, error) {
	l := s.Host.lab
	host, err := l.newHost(s.Host.name+"-next", l.plan.host())
	if err != nil {
		return nil, err
	}
	if err := l.deafen(host); err != nil {
		return nil, err
	}
	next, err := l.prepareServer(s.kind, host, hostNIC, host.Addr)
	if err != nil {
		return nil, err
	}
	if err := copyDatabase(s.backend, next.backend); err != nil {
		return nil, err
	}
	l.onClose(func() {
		if l.tb.Failed() {
			l.tb.Logf("DHCP server %s, the successor:\n%s", s.kind, tail(next.Log(), 200))
		}
	})
	return next, next.start(l.tb.Context())
}

// deafen keeps frames from the host that are for others. A NIC does so by
// itself; a veth does not, and servers with packet sockets would answer what
// was sent to their predecessor.
func (l *Lab) deafen(h *Host) error {
	return l.sw.ns.WithLink(h.SwitchPort, func(n *netlink.Handle, port netlink.Link) error {
		return n.LinkSetFlood(port, false)
	})
}

func copyDatabase(from, to backend) error {
	paths := func(b backend) []string {
		if db, ok := b.(interface{ files() []string }); ok {
			return db.files()
		}
		return nil
	}
	old, fresh := paths(from), paths(to)
	if len(old) == 0 {
		return errors.New("this kind has no database on disk")
	}
	for i, path := range old {
		content, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(fresh[i], content, 0o644)
		}
		if err != nil {
			return fmt.Errorf("copy %s: %w", filepath.Base(path), err)
		}
	}
	return nil
}
