package dhcpd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab/ether"
)

// Server is a DHCP server on one interface. Safe for concurrent use.
type Server struct {
	addr netip.Addr // the server's own, its identity

	mu      sync.Mutex
	cfg     Config
	db      *database
	rules   []*rule
	running *run
	log     []Entry

	changed chan struct{} // closed and replaced when the log grows

	noteMu sync.Mutex
	notes  []error
}

// New returns a server that does not run yet.
func New(cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.In == nil {
		cfg.In = func(f func() error) error { return f() }
	}
	return &Server{addr: cfg.Address.Addr(), cfg: cfg, db: newDatabase(cfg), changed: make(chan struct{})}, nil
}

// Addr returns the server's own address, which is its identity (option 54).
func (s *Server) Addr() netip.Addr { return s.addr }

// run is what a started server has: its sockets and what waits to be sent.
type run struct {
	frames *ether.Socket
	port   net.PacketConn
	mac    net.HardwareAddr
	ctx    context.Context //nolint:containedctx // ends the delayed replies of this run
	cancel context.CancelFunc
	group  sync.WaitGroup
}

// Start opens the sockets and serves. Requests are heard from its return on.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return errors.New("dhcp server: already running")
	}
	r := &run{}
	if err := s.cfg.In(func() error { return r.open(s.cfg.Interface) }); err != nil {
		return fmt.Errorf("dhcp server on %s: %w", s.cfg.Interface, err)
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	s.running = r
	r.group.Go(func() { s.serve(r) })
	return nil
}

// open makes both sockets. The UDP one is never read: it keeps the kernel from
// answering clients with "port unreachable".
func (r *run) open(name string) error {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("interface: %w", err)
	}
	r.mac = link.HardwareAddr
	// After a Stop, a child that is about to start may still hold the old one.
	shared := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var set error
		err := raw.Control(func(fd uintptr) {
			set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		})
		return errors.Join(err, set)
	}}
	if r.port, err = shared.ListenPacket(context.Background(), "udp4", fmt.Sprintf(":%d", dhcpv4.ServerPort)); err != nil {
		return fmt.Errorf("port of DHCP servers: %w", err)
	}
	r.frames, err = ether.Open(link.Index, ether.All, ether.UDPTo(dhcpv4.ServerPort))
	if err != nil {
		_ = r.port.Close()
		return err
	}
	return nil
}

// Stop ends serving; replies that wait are dropped. The leases stay in memory
// for the next Start. A server that does not run is left alone.
func (s *Server) Stop() {
	s.mu.Lock()
	r := s.running
	s.running = nil
	s.mu.Unlock()
	if r == nil {
		return
	}
	r.cancel()
	_ = r.frames.Close()
	_ = r.port.Close()
	r.group.Wait()
}

// Forget drops every lease, as if the server's database was lost.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.db = newDatabase(s.cfg)
}

// Reconfigure changes lease times, options, pool; leases that are in the new
// pool stay. Interface and namespace change with the next Start.
func (s *Server) Reconfigure(change func(*Config)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg := s.cfg
	change(&cfg)
	if cfg.Address.Addr() != s.addr {
		return fmt.Errorf("dhcp server: its address %s cannot change to %s", s.addr, cfg.Address.Addr())
	}
	if err := cfg.validate(); err != nil {
		return err
	}
	s.cfg, s.db.cfg = cfg, cfg
	if !cfg.inPool(s.db.next) {
		s.db.next = cfg.First
	}
	return nil
}

// ActiveLeases returns the granted leases that have not run out, in the order
// of their addresses.
func (s *Server) ActiveLeases() []Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.db.active(time.Now())
}

func (s *Server) serve(r *run) {
	for {
		f, err := r.frames.Recv()
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			// ENETDOWN comes once when the interface goes down, and the socket
			// lives on.
			s.note(err)
			continue
		}
		s.handle(r, f)
	}
}
