package lease_test

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/lease"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// chaos is a node on which all that can happen happens at random.
type chaos struct {
	*node
	rng   *rand.Rand
	mu    sync.Mutex
	alive map[leaseapi.Key]bool // ADDs that finished
	calls sync.WaitGroup
}

// Whatever has happened, and in whatever order: no two Pods have one address,
// the window has lost no place, and after the last DEL nothing is left, neither
// here nor with the server.
func TestLivesAtRandom(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			on(t, func(n *node) {
				c := &chaos{node: n, rng: rand.New(rand.NewPCG(seed, 1)), alive: map[leaseapi.Key]bool{}}
				n.stop()
				c.up()
				n.set(func() { n.strict, n.rapid, n.expires = true, true, map[netip.Addr]time.Time{} })
				for range 400 {
					c.step()
					n.pass(time.Duration(c.rng.Int64N(int64(time.Second)) << c.rng.IntN(9)))
					c.wantNoDouble()
				}
				c.end()
			})
		})
	}
}

func (c *chaos) up() {
	cfg := c.config()
	cfg.Confirm = func(h lease.Held) lease.Verdict {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.alive[h.Key] {
			return lease.Confirmed
		}
		return lease.Refuted
	}
	c.startWith(cfg)
}

func (c *chaos) step() {
	i := c.rng.IntN(20)
	switch what := c.rng.IntN(16); what {
	case 0, 1, 2, 3, 4:
		c.add(i)
	case 5, 6:
		c.del(i)
	case 7:
		c.set(func() { c.mute = func(k dhcpv4.MessageType) bool { return k == discover || k == request } })
	case 8:
		c.calm()
	case 9:
		c.set(func() { c.refuse = c.rng.IntN(2) == 0 })
	case 10:
		errs := []error{unix.ENETDOWN, unix.ENOBUFS}
		c.set(func() { c.sendErr = errs[c.rng.IntN(2)] })
	case 11:
		// A DECLINE that could not be sent is not remembered for the next.
		c.set(func() { c.sendErr = nil })
		c.pass(31 * time.Second)
		c.stop()
		if c.rng.IntN(3) == 0 { // the node has been rebooted
			c.calls.Wait()
			clear(c.alive)
			c.bootID, c.booted = c.bootID+"+", time.Now()
		}
		c.up()
	case 12:
		c.settleAddress(netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + c.rng.IntN(30))}))
	case 13:
		addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + c.rng.IntN(30))})
		c.claim(addr, stranger())
		c.claim(addr, stranger())
	case 14:
		c.set(func() {
			for d := range c.ears {
				select {
				case d.broken <- unix.ENODEV:
				default:
				}
			}
		})
	case 15:
		if err := c.keeper.Verify("eth1"); err != nil {
			c.Error(err)
		}
	}
	synctest.Wait()
}

// calm ends all faults.
func (c *chaos) calm() {
	c.awake()
	c.set(func() { c.refuse, c.sendErr, c.carrier = false, nil, true; clear(c.hosts) })
}

// add is the ADD of a new sandbox of one of the Pods; some go away, some die.
func (c *chaos) add(i int) {
	r := checked(i, []leaseapi.Conflict{leaseapi.ConflictOptimistic, leaseapi.ConflictWait, leaseapi.ConflictOff}[c.rng.IntN(3)])
	if c.rng.IntN(3) == 0 {
		r.WhenLost = leaseapi.Replace
	}
	r.RapidCommit = c.rng.IntN(4) == 0
	if c.rng.IntN(8) == 0 {
		r.Pace = 20
	}
	if c.rng.IntN(5) == 0 {
		r.Transport, r.Netns = leaseapi.FromPod, "/ns"
	}
	k, dies := key(i+20*c.rng.IntN(3)), c.rng.IntN(6) == 0
	ctx, cancel := context.WithTimeout(c.Context(), time.Duration(1+c.rng.IntN(20))*time.Second)
	c.calls.Go(func() {
		defer cancel()
		_, err := c.keeper.Acquire(ctx, k, r)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.alive[k] = err == nil && !dies
	})
	synctest.Wait()
}

func (c *chaos) del(i int) {
	k := key(i + 20*c.rng.IntN(3))
	c.mu.Lock()
	delete(c.alive, k)
	c.mu.Unlock()
	c.calls.Go(func() {
		ctx, cancel := context.WithTimeout(c.Context(), 10*time.Second)
		defer cancel()
		_ = c.keeper.Release(ctx, k) // a keeper that stops refuses
	})
	synctest.Wait()
}

func (c *chaos) wantNoDouble() {
	c.Helper()
	by := map[netip.Addr]leaseapi.Key{}
	for _, l := range c.keeper.List() {
		switch l.State {
		case leaseapi.StateLost, leaseapi.StateAcquiring, leaseapi.StatePending: // perhaps only reserved
			continue
		default:
		}
		if first, twice := by[l.Address.Addr()]; twice {
			c.Fatalf("%s belongs to %s and to %s", l.Address, first, l.Key)
		}
		by[l.Address.Addr()] = l.Key
	}
}

func (c *chaos) end() {
	c.Helper()
	c.calm()
	c.calls.Wait()
	if i := c.rng.IntN(20); c.keeper.Recover(key(200+i), pod(200+i), netip.PrefixFrom(other(), 16)) != nil {
		c.Error("cannot recover")
	}
	c.pass(10 * time.Minute) // those that died are judged, the faults' backoffs over
	ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
	defer cancel()
	if err := c.keeper.GC(ctx, "lan", nil); err != nil {
		c.Error(err)
	}
	c.pass(3 * time.Minute) // what was given up late
	if l := c.keeper.List(); len(l) != 0 {
		c.Errorf("left: %+v", l)
	}
	c.set(func() {
		for a, id := range c.leases {
			if time.Now().Before(c.expires[a]) {
				c.Errorf("the server holds %s for %x", a, id)
			}
		}
	})
	c.wantListening(0)
	if c.opened() != 0 {
		c.Errorf("%d sockets are open", c.opened())
	}
	began := time.Now()
	c.wantAll(c.crowd(100, 160))
	if took := time.Since(began); took > time.Second {
		c.Errorf("60 ADDs take %s: the window has lost places", took)
	}
}
