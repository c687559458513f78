// Package guard ties a port to its MAC and its addresses: one nftables table of
// the family bridge, "podlan", whose cost does not depend on the number of
// ports. Ports whose name begins with pod.HostEndPrefix are closed unless they
// have elements in its sets. It touches that table only.
package guard

import (
	"context"
	"errors"
	"fmt"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/statefile"
)

// lockName is the lock under which plugins and podland change the table.
const lockName = "guard.lock"

// Guard is the guard of one network namespace. It is safe for concurrent use,
// and against other processes with the same lock folder.
type Guard struct {
	h       *rtnl.Handle
	lockDir string
}

// New returns the guard of the handle's namespace; nil is the thread's own.
// lockDir is where plugins and podland have their lock.
func New(h *rtnl.Handle, lockDir string) *Guard { return &Guard{h: h, lockDir: lockDir} }

// Add opens the port for what it may send, and nothing that stood for it
// before. It installs the table where it is missing or of another version. Code
// 104 if the kernel refuses.
func (g *Guard) Add(ctx context.Context, p Port) error { return g.Set(ctx, Port{Name: p.Name}, p) }

// Set replaces old, as known by its name, by next, in one batch: there is no
// moment with neither and none with both. Errors as Add.
func (g *Guard) Set(ctx context.Context, old, next Port) error {
	if err := next.check(pod.HostEndPrefix); err != nil {
		return err
	}
	return g.locked(ctx, func(s session) error {
		gone, err := s.stood(old, next)
		if err != nil {
			return err
		}
		err = s.batch(func(c *nftables.Conn) error { return errors.Join(take(c, gone), put(c, []Port{next})) })
		if !errors.Is(err, unix.ENOENT) {
			return err
		}
		// No table, or another version's.
		return s.reinstall(old.Name, next)
	})
}

// Remove closes the port. Elements or a table that are gone are no error.
func (g *Guard) Remove(ctx context.Context, p Port) error {
	return g.locked(ctx, func(s session) error {
		gone, err := s.stood(p)
		if err != nil {
			return err
		}
		if p.check(pod.HostEndPrefix) == nil {
			gone = append(gone, p)
		}
		err = s.batch(func(c *nftables.Conn) error { return take(c, gone) })
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
	return g.open(func(s session) error {
		for _, e := range p.elements() {
			note, found, err := s.ask.element(e.set, e.key)
			if err != nil {
				return err
			}
			if !found || note != e.note {
				return types.NewError(uint(leaseapi.CodeChanged), fmt.Sprintf("guard of port %s is not as ADD left it", p.Name),
					fmt.Sprintf("set %s of nft table bridge podlan has no entry %q", e.set, p.note()))
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
	err := g.locked(ctx, func(s session) (err error) {
		ports, err = standing(s.nft)
		return err
	})
	return ports, err
}

// Replace installs the table anew with exactly these ports, in one batch: after
// somebody else flushed or changed it.
func (g *Guard) Replace(ctx context.Context, ports []Port) error {
	for _, p := range ports {
		if err := p.check(pod.HostEndPrefix); err != nil {
			return err
		}
	}
	return g.locked(ctx, func(s session) error {
		return s.batch(func(c *nftables.Conn) error { return install(c, ports) })
	})
}

// Drops returns how many frames were dropped, by the kind of reason.
func (g *Guard) Drops(context.Context) (map[string]uint64, error) {
	drops := make(map[string]uint64)
	err := g.open(func(s session) error {
		objs, err := s.nft.GetNamedObjects(table())
		if err != nil {
			return fmt.Errorf("list the counters: %w", err)
		}
		for _, o := range objs {
			named, ok := o.(*nftables.NamedObj)
			if !ok {
				continue
			}
			if c, ok := named.Obj.(*expr.Counter); ok {
				drops[named.Name] = c.Packets
			}
		}
		return nil
	})
	return drops, err
}

// locked calls fn with a session under the lock.
func (g *Guard) locked(ctx context.Context, fn func(session) error) error {
	lock, err := statefile.Acquire(ctx, g.lockDir, lockName)
	if err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	defer lock.Release()
	return g.open(fn)
}

// session is one use of the kernel's nftables.
type session struct {
	nft *nftables.Conn
	ask asker
}

func (g *Guard) open(fn func(session) error) error {
	var s session
	dial := func() (err error) {
		if s.ask.conn, err = netlink.Dial(unix.NETLINK_NETFILTER, nil); err != nil {
			return err
		}
		s.nft, err = nftables.New(nftables.AsLasting(), nftables.WithSockOptions(roomy))
		return err
	}
	var err error
	if g.h == nil {
		err = dial()
	} else {
		err = g.h.Do(dial)
	}
	defer s.close()
	if err != nil {
		return explain(err)
	}
	return explain(fn(s))
}

// batchSize is what a table with thousands of ports takes as one batch, in
// bytes; the kernel takes memory only for what is sent.
const batchSize = 16 << 20

func roomy(c *netlink.Conn) error {
	return errors.Join(c.SetWriteBuffer(batchSize), c.SetReadBuffer(batchSize))
}

func (s session) close() {
	if s.ask.conn != nil {
		_ = s.ask.conn.Close()
	}
	if s.nft != nil {
		_ = s.nft.CloseLasting()
	}
}

// stood returns the ports of these names as they stand.
func (s session) stood(ports ...Port) ([]Port, error) {
	var found []Port
	seen := make(map[string]bool)
	for _, p := range ports {
		if p.Name == "" || seen[p.Name] {
			continue
		}
		seen[p.Name] = true
		note, ok, err := s.ask.element(setPorts, key(p.Name, nil))
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		// An unreadable note is nobody's of ours; what it stood for stays.
		if old, err := parseNote(p.Name, note); err == nil {
			found = append(found, old)
		}
	}
	return found, nil
}

// batch sends what fill adds as one transaction.
func (s session) batch(fill func(*nftables.Conn) error) error {
	if err := fill(s.nft); err != nil {
		return err
	}
	return s.nft.Flush()
}

// reinstall puts this version's table with the ports that stood in another's.
func (s session) reinstall(without string, next Port) error {
	stood, err := standing(s.nft)
	if err != nil {
		return err
	}
	ports := []Port{next}
	for _, p := range stood {
		if p.Name != next.Name && p.Name != without && p.check(pod.HostEndPrefix) == nil {
			ports = append(ports, p)
		}
	}
	return s.batch(func(c *nftables.Conn) error { return install(c, ports) })
}
