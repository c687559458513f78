package guard

import (
	"context"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/statefile"
)

// session is a pair of sockets to the kernel's nftables: one for batches, one
// for questions.
type session struct {
	conn *netlink.Conn
	ask  asker
	// sent is told of every batch: who sent it, and how many messages.
	sent func(port uint32, messages int)
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

func (g *Guard) dial() error {
	ask, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return err
	}
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return errors.Join(err, ask.Close())
	}
	g.session = &session{conn: conn, ask: asker{ask, func() { g.messages.Add(1) }}, sent: g.noteSent}
	if err := roomy(conn); err != nil {
		g.drop()
		return err
	}
	return nil
}

func (g *Guard) noteSent(port uint32, messages int) {
	g.port.Store(port)
	g.messages.Add(uint64(messages))
}

func (g *Guard) drop() {
	if g.session == nil {
		return
	}
	_ = g.session.ask.conn.Close()
	_ = g.session.conn.Close()
	g.session = nil
}

// batchSize is what a table with thousands of ports takes as one batch, in
// bytes; the kernel takes memory only for what is sent.
const batchSize = 16 << 20

func roomy(c *netlink.Conn) error {
	return errors.Join(c.SetWriteBuffer(batchSize), c.SetReadBuffer(batchSize))
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
		notes, err := s.ask.notes(p.Name)
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
func (s *session) batch(fill func(*batch)) error {
	var b batch
	if fill(&b); b.err != nil || len(b.messages) == 0 {
		return b.err
	}
	sent, err := s.conn.SendMessages(b.sealed())
	if err != nil {
		return err
	}
	s.sent(sent[0].Header.PID, len(sent))
	return s.outcome(sent)
}

// reinstall puts this version's table with the ports that stood in another's.
func (s *session) reinstall(without string, next Port) error {
	stood, err := s.ask.standing()
	if err != nil {
		return err
	}
	ports := []Port{next}
	for _, p := range stood {
		if p.Name != next.Name && p.Name != without && p.check() == nil {
			ports = append(ports, p)
		}
	}
	return s.batch(func(b *batch) { b.install(all(ports)) })
}
