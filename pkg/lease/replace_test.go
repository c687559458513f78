package lease_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// replacing is pod with the policy to take another address after a loss.
func replacing(i int) leaseapi.Request {
	r := pod(i)
	r.WhenLost = leaseapi.Replace
	return r
}

func other() netip.Addr { return netip.MustParseAddr("10.0.9.9") }

func TestReplaceTakesAnotherAddress(t *testing.T) {
	on(t, func(n *node) {
		l := n.hold(key(1), replacing(1))
		n.pass(time.Minute)
		n.set(func() { // re-ranged
			n.strict = true
			n.known[string(pod(1).ClientID)] = other()
		})
		n.pass(40 * time.Minute)
		c := n.changed()
		if len(c) != 2 || c[0].State != leaseapi.StateLost || c[0].Address != l.Address || c[0].WhenLost != leaseapi.Replace ||
			c[1].State != leaseapi.StateBound || c[1].Address.Addr() != other() || c[1].Reason != "" {
			t.Fatalf("changed: %+v", c)
		}
		n.pass(10 * time.Second)
		n.wantSpoken(other(), 3, 2) // probed before it was told, announced after
		n.stop()
		n.start() // it was stored
		if l, _ := n.keeper.Get(key(1)); l.Address.Addr() != other() || l.State != leaseapi.StateBound {
			n.Errorf("%+v", l)
		}
		n.release(key(1))
		n.wantSent(release, 1)
		if f := n.sent(release)[0]; f.Src != other() {
			n.Errorf("RELEASE of %s", f.Src)
		}
	})
}

// Not told as back before it is known to be free, and not if it is not.
func TestAnAddressThatReturnsIsProbedFirst(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), replacing(1))
		n.pass(time.Minute)
		n.settleAddress(other())
		n.set(func() {
			n.strict = true
			n.known[string(pod(1).ClientID)] = other()
		})
		n.pass(40 * time.Minute)
		n.wantSent(decline, 1)
		third := netip.Addr{}
		n.set(func() { third = n.known[string(pod(1).ClientID)] })
		c := n.changed()
		if last := c[len(c)-1]; last.State != leaseapi.StateBound || last.Address.Addr() != third || third == other() {
			n.Fatalf("changed: %+v", c)
		}
		for _, c := range c[:len(c)-1] {
			if c.State != leaseapi.StateLost || c.Address.Addr() == other() {
				n.Errorf("told: %+v", c)
			}
		}
	})
}

// The Pod's DEL comes while the address that returned is being probed.
func TestReleaseWhileAReturningAddressIsProbed(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		n.set(func() { n.refuse = true })
		n.pass(40 * time.Minute)
		n.wantState(key(1), leaseapi.StateLost)
		n.set(func() { n.refuse = false })
		before := len(n.sent(request))
		for len(n.sent(request)) == before {
			n.pass(10 * time.Millisecond)
		}
		n.wantState(key(1), leaseapi.StateLost)
		n.release(key(1))
		n.wantSent(release, 1)
		n.wantActive(0)
		n.wantFile(key(1), false)
	})
}
