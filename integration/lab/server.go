package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/podlan/podlan/integration/dhcpd"
)

// Lease is an address that a DHCP server has granted and not got back.
type Lease struct {
	Addr netip.Addr
	// MAC is the client's, in lower case with colons.
	MAC string
	// ClientID is option 61 in hexadecimal digits, type byte included; empty if
	// the client sent none.
	ClientID string
	Expires  time.Time
}

// Release is a DHCPRELEASE in a server's log that gave a lease back.
type Release struct {
	Addr netip.Addr
	MAC  string
}

// Server is a DHCP server in a namespace. Whatever its kind, it answers the
// same questions.
type Server struct {
	// Host is where it runs.
	Host *Host
	kind ServerKind
	tb   TB
	backend
}

// backend is what each kind does in its own way.
type backend interface {
	// start returns when requests are heard.
	start(ctx context.Context) error
	// stop ends the server, without notice if kill is set.
	stop(kill bool) error
	// forget removes the database of a stopped server.
	forget() error
	leases() ([]Lease, error)
	// declined are addresses that the database keeps from everybody.
	declined() ([]netip.Addr, error)
	releases() ([]Release, error)
	heard() []message
	log() string
}

// spec is what a server is told.
type spec struct {
	opts Options
	plan plan
	ns   *Netns
	// iface is served, addr the server's own on it.
	iface string
	addr  netip.Prefix
	dir   string
	lab   *Lab
}

const serverName = "server"

// newLANServer makes the namespace of the LAN's server, which is the LAN's
// router as well, and starts the server.
func (l *Lab) newLANServer() (*Server, error) {
	host, err := l.newHost(serverName, l.plan.on(l.plan.server))
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	if err := host.SetSysctl("net.ipv4.ip_forward", "1"); err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	return l.startServer(l.opts.Server, host, hostNIC, host.Addr)
}

// RunServer starts a DHCP server on the node itself, serving the interface,
// which must have an address.
func (n *Node) RunServer(kind ServerKind, iface string) *Server {
	n.lab.tb.Helper()
	s, err := n.lab.startServer(kind, &n.Host, iface, n.Addr)
	if err != nil {
		n.lab.tb.Fatalf("lab: node %s: %v", n.name, err)
	}
	return s
}

func (l *Lab) startServer(kind ServerKind, host *Host, iface string, addr netip.Prefix) (*Server, error) {
	s, err := l.prepareServer(kind, host, iface, addr)
	if err != nil {
		return nil, fmt.Errorf("DHCP server %s: %w", kind, err)
	}
	if err := s.start(l.tb.Context()); err != nil {
		return nil, fmt.Errorf("DHCP server %s: %w", kind, err)
	}
	return s, nil
}

func (l *Lab) prepareServer(kind ServerKind, host *Host, iface string, addr netip.Prefix) (*Server, error) {
	dir, err := l.subdir(host.name, string(kind))
	if err != nil {
		return nil, err
	}
	b, err := newBackend(l.tb.Context(), kind, spec{
		opts: l.opts, plan: l.plan, ns: host.Netns, iface: iface, addr: addr, dir: dir, lab: l,
	})
	return &Server{Host: host, kind: kind, tb: l.tb, backend: b}, err
}

func newBackend(ctx context.Context, kind ServerKind, s spec) (backend, error) {
	switch kind {
	case Embedded:
		return newEmbedded(s)
	case Dnsmasq:
		return newDnsmasq(ctx, s)
	case Kea:
		return newKea(ctx, s)
	case ISC:
		return newISC(ctx, s)
	case Udhcpd:
		return newUdhcpd(ctx, s)
	case None:
	}
	return nil, fmt.Errorf("kind %q: one of %v is wanted", kind, AllServers())
}

// Kind returns the server's kind.
func (s *Server) Kind() ServerKind { return s.kind }

// PID returns the server's process ID, 0 for the embedded one and while it is
// stopped.
func (s *Server) PID() int {
	e, ok := s.backend.(interface{ running() *Process })
	if !ok || e.running() == nil {
		return 0
	}
	return e.running().PID()
}

// Embedded returns the embedded server, to script it; it ends the test if the
// server is of another kind.
func (s *Server) Embedded() *dhcpd.Server {
	s.tb.Helper()
	e, ok := s.backend.(*embedded)
	if !ok {
		s.tb.Fatalf("lab: the DHCP server is %s, which cannot be scripted", s.kind)
	}
	return e.server
}

// ActiveLeases returns the leases that the server holds as granted, by address.
func (s *Server) ActiveLeases() []Lease {
	s.tb.Helper()
	leases, err := s.leases()
	if err != nil {
		s.tb.Fatalf("lab: leases of %s: %v", s.kind, err)
	}
	return leases
}

// Releases returns every DHCPRELEASE that gave a lease back, in order, since
// the lab began.
func (s *Server) Releases() []Release {
	s.tb.Helper()
	releases, err := s.releases()
	if err != nil {
		s.tb.Fatalf("lab: releases of %s: %v", s.kind, err)
	}
	return releases
}

// Log returns what the server printed since the lab began.
func (s *Server) Log() string { return s.log() }

// Start starts a stopped server, with the leases that it had.
func (s *Server) Start() {
	s.tb.Helper()
	s.must("start", s.start(s.tb.Context()))
}

// Stop ends the server; it may write its database first.
func (s *Server) Stop() {
	s.tb.Helper()
	s.must("stop", s.stop(false))
}

// Kill ends the server at once.
func (s *Server) Kill() {
	s.tb.Helper()
	s.must("kill", s.stop(true))
}

// Forget makes a stopped server lose its leases.
func (s *Server) Forget() {
	s.tb.Helper()
	s.must("forget", s.forget())
}

func (s *Server) must(what string, err error) {
	s.tb.Helper()
	if err != nil {
		s.tb.Fatalf("lab: %s %s: %v", what, s.kind, err)
	}
}

// AwaitLeases waits until the server holds exactly n active leases.
func (s *Server) AwaitLeases(n int) []Lease {
	s.tb.Helper()
	var leases []Lease
	Eventually(s.tb, fmt.Sprintf("%d active leases on %s", n, s.kind), func() (err error) {
		leases, err = s.leases()
		if err == nil && len(leases) != n {
			err = fmt.Errorf("%d active leases: %v", len(leases), leases)
		}
		return err
	})
	return leases
}

// AwaitReleases waits until the server's log has n releases or more.
func (s *Server) AwaitReleases(n int) []Release {
	s.tb.Helper()
	var releases []Release
	Eventually(s.tb, fmt.Sprintf("%d releases in the log of %s", n, s.kind), func() (err error) {
		releases, err = s.releases()
		if err == nil && len(releases) < n {
			err = fmt.Errorf("%d releases: %v", len(releases), releases)
		}
		return err
	})
	return releases
}

// errRunning is returned where a server has to be stopped first.
var errRunning = errors.New("the server is running; stop it first")

func hexID(text string) string { return strings.ToLower(strings.ReplaceAll(text, ":", "")) }
