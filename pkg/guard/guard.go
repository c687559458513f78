// Package guard ties a port to its MAC and its addresses: one nftables table of
// the family bridge, "podlan", whose cost does not depend on the number of
// ports. Ports whose name begins with rtnl.GuardedPrefix are closed unless they
// have elements in its sets. It touches that table only.
package guard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/nft"
	"github.com/podlan/podlan/pkg/rtnl"
)

// lockName is the lock under which plugins and podland change the table.
const lockName = "guard.lock"

// Guard is the guard of one network namespace. It is safe for concurrent use,
// and against other processes with the same lock folder.
type Guard struct {
	h       *rtnl.Handle
	lockDir string

	// port is the netlink port that batches come from.
	port atomic.Uint32

	mu      sync.Mutex
	session *session
}

// New returns the guard of the handle's namespace; nil is the thread's own.
// lockDir is where plugins and podland have their lock.
func New(h *rtnl.Handle, lockDir string) *Guard { return &Guard{h: h, lockDir: lockDir} }

// Close frees the guard's sockets; it may be used again. A plugin need not call
// it: closing waits, about 10 ms, until the kernel has freed what was removed
// before, and less the later it comes.
func (g *Guard) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.drop()
}

// Add opens the port for what it may send, and nothing that stood for it
// before. It installs the table where it is missing or of another version. Code
// 104 if the kernel refuses.
func (g *Guard) Add(ctx context.Context, p Port) error { return g.Set(ctx, Port{Name: p.Name}, p) }

// Set replaces old, as known by its name, by next, in one batch: there is no
// moment with neither and none with both. What both have is not touched, so
// that the port's rates and counters go on. Errors as Add.
func (g *Guard) Set(ctx context.Context, old, next Port) error {
	if err := next.check(); err != nil {
		return err
	}
	return g.locked(ctx, func(s *session) error {
		gone, err := s.stood(old, next)
		if err != nil {
			return err
		}
		stood, wanted := all(gone), all([]Port{next})
		err = s.batch(func(b *nft.Batch) {
			take(b, without(stood, wanted))
			put(b, wanted)
		})
		if errors.Is(err, unix.ENOENT) { // no table, or another version's
			err = s.reinstall(old.Name, next)
		}
		if err != nil {
			return err
		}
		return s.checkLimits(next)
	})
}

// checkLimits makes sure that the kernel took the limits for what they are:
// before Linux 5.7 it takes the port for one that is always above them.
func (s *session) checkLimits(p Port) error {
	els := p.elements()
	i := slices.IndexFunc(els, func(e element) bool { return e.Above != nft.Rate{} })
	if i < 0 {
		return nil
	}
	e, ok, err := s.element(els[i])
	if err == nil && ok && !e.Stateful {
		return errNoLimits
	}
	return err
}

// Remove closes the port. Elements or a table that are gone are no error.
func (g *Guard) Remove(ctx context.Context, p Port) error {
	return g.locked(ctx, func(s *session) error {
		gone, err := s.stood(p)
		if err != nil {
			return err
		}
		if p.check() == nil {
			gone = append(gone, p)
		}
		if len(gone) == 0 {
			return nil
		}
		err = s.batch(func(b *nft.Batch) { take(b, append(all(gone), farewell(p.Name))) })
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return err
	})
}

// Check returns nil if the port's elements stand as Add put them, else an error
// of code 105 that names what is missing. The number of questions is that of
// the port's elements.
func (g *Guard) Check(ctx context.Context, p Port) error {
	if err := p.check(); err != nil {
		return err
	}
	return g.open(func(s *session) error {
		for _, e := range p.elements() {
			stands, ok, err := s.element(e)
			if err != nil {
				return err
			}
			if !ok || stands.Note != e.Note {
				return types.NewError(uint(leaseapi.CodeChanged), fmt.Sprintf("guard of port %s is not as ADD left it", p.Name),
					fmt.Sprintf("set %s of nft table bridge podlan has no entry %q", e.set, strings.Join(p.notes(), " ")))
			}
		}
		return ctx.Err()
	})
}

// Ports lists the ports that have elements, none without a table. It is for
// reconciling, not for hot paths.
func (g *Guard) Ports(ctx context.Context) ([]Port, error) {
	var ports []Port
	// A change under a dump leaves elements out.
	err := g.locked(ctx, func(s *session) (err error) {
		ports, err = s.ports()
		return err
	})
	return ports, err
}

// Replace installs the table anew with exactly these ports, in one batch: after
// somebody else flushed or changed it.
func (g *Guard) Replace(ctx context.Context, ports []Port) error {
	for _, p := range ports {
		if err := p.check(); err != nil {
			return err
		}
	}
	return g.locked(ctx, func(s *session) error {
		return s.batch(func(b *nft.Batch) { install(b, all(ports)) })
	})
}
