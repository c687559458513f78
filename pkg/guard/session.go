package guard

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/podlan/podlan/pkg/nft"
	"github.com/podlan/podlan/pkg/statefile"
)

// session is a socket to the kernel's nftables.
type session struct {
	conn *nft.Conn
	port *atomic.Uint32 // the guard's: where the last batch came from
}

// locked calls fn with the session under the lock.
func (g *Guard) locked(ctx context.Context, fn func(*session) error) error {
	lock, err := statefile.Acquire(ctx, g.lockDir, lockName)
	if err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	defer lock.Release()
	return g.open(fn)
}

// open calls fn with the session, which outlives it. After an error it is not
// used again: an answer may be left in it.
func (g *Guard) open(fn func(*session) error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.session == nil {
		if err := g.inside(g.dial); err != nil {
			return explain(err)
		}
	}
	if err := fn(g.session); err != nil {
		g.drop()
		return explain(err)
	}
	return nil
}

func (g *Guard) inside(fn func() error) error {
	if g.h == nil {
		return fn()
	}
	return g.h.Do(fn)
}

// batchSize is what a table with thousands of ports takes as one batch, in bytes.
const batchSize = 16 << 20

func (g *Guard) dial() error {
	conn, err := nft.Dial(batchSize)
	if err == nil {
		g.session = &session{conn: conn, port: &g.port}
	}
	return err
}

func (g *Guard) drop() {
	if g.session == nil {
		return
	}
	_ = g.session.conn.Close()
	g.session = nil
}

// stood returns the ports of these names as they stand.
func (s *session) stood(ports ...Port) ([]Port, error) {
	var found []Port
	seen := make(map[string]bool)
	for _, p := range ports {
		if p.Name == "" || seen[p.Name] {
			continue
		}
		seen[p.Name] = true
		notes, err := s.notes(p.Name)
		if err != nil {
			return nil, err
		}
		// An unreadable note is nobody's of ours; what it stood for stays.
		if old, err := parseNotes(p.Name, notes); err == nil {
			found = append(found, old)
		}
	}
	return found, nil
}

// batch sends what fill adds as one transaction.
func (s *session) batch(fill func(*nft.Batch)) error {
	b := nft.NewBatch(table())
	fill(b)
	err := s.conn.Send(b)
	if port := s.conn.Port(); port != 0 { // something was sent
		s.port.Store(port)
	}
	return err
}

// reinstall puts this version's table with the ports that stood in another's.
func (s *session) reinstall(without string, next Port) error {
	stood, err := s.ports()
	if err != nil {
		return err
	}
	ports := []Port{next}
	for _, p := range stood {
		if p.Name != next.Name && p.Name != without && p.check() == nil {
			ports = append(ports, p)
		}
	}
	return s.batch(func(b *nft.Batch) { install(b, all(ports)) })
}
