package lease_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/podlan/podlan/pkg/leaseapi"
)

func TestHeldLeaseIsRenewedAtT1(t *testing.T) {
	on(t, func(n *node) {
		first := n.hold(key(1), pod(1))
		n.pass(40 * time.Minute)
		sent := n.sent(request)
		if len(sent) != 2 {
			n.Fatalf("%d REQUEST, 2 wanted", len(sent))
		}
		f := sent[1]
		if f.Src != first.Address.Addr() || f.Dst != serverIP() || f.DstMAC != serverMAC() {
			n.Errorf("renewal from %s to %s, %s", f.Src, f.Dst, f.DstMAC)
		}
		l, _ := n.keeper.Get(key(1))
		if l.State != leaseapi.StateBound || !l.ExpiresAt.After(first.ExpiresAt) {
			n.Errorf("%+v", l)
		}
		n.pass(7 * 24 * time.Hour)
		n.wantState(key(1), leaseapi.StateBound)
		n.wantSent(discover, 1)
	})
}

func TestRenewalsOfAMonth(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.terms = 7 * 24 * time.Hour })
		for i := range 40 {
			n.hold(key(i), pod(i))
		}
		n.pass(30 * 24 * time.Hour)
		n.wantActive(40)
		n.wantSent(discover, 40)
		if c := n.changed(); len(c) != 0 {
			n.Errorf("changed: %+v", c)
		}
		if n.opened() > 1 {
			n.Errorf("%d sockets", n.opened())
		}
	})
}

func TestRebindingAtT2(t *testing.T) {
	on(t, func(n *node) {
		first := n.hold(key(1), pod(1))
		n.deaf()
		n.pass(40 * time.Minute)
		n.wantState(key(1), leaseapi.StateRenewing)
		n.pass(13 * time.Minute)
		n.wantState(key(1), leaseapi.StateRebinding)
		sent := n.sent(request)
		if f := sent[len(sent)-1]; f.Dst != netip.AddrFrom4([4]byte{255, 255, 255, 255}) || f.Src != first.Address.Addr() {
			n.Errorf("rebinding from %s to %s", f.Src, f.Dst)
		}
		n.awake()
		n.pass(5 * time.Minute)
		n.wantState(key(1), leaseapi.StateBound)
	})
}

func TestExpiryIsLossAndTheServersReturnTheLeases(t *testing.T) {
	on(t, func(n *node) {
		first := n.hold(key(1), pod(1))
		n.deaf()
		n.pass(61 * time.Minute)
		n.wantState(key(1), leaseapi.StateLost)
		c := n.changed()
		if len(c) != 1 || c[0].State != leaseapi.StateLost || !strings.Contains(c[0].Reason, "ran out") || c[0].Address != first.Address {
			n.Fatalf("changed: %+v", c)
		}
		n.awake()
		n.pass(2 * time.Minute)
		n.wantState(key(1), leaseapi.StateBound)
		if c := n.changed(); len(c) != 2 || c[1].State != leaseapi.StateBound || c[1].Reason != "" || c[1].Address != first.Address {
			n.Errorf("changed: %+v", c)
		}
	})
}

// Sockets are closed while a lost lease waits for its next try.
func TestLostLeaseListensForAWhileOnly(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		n.deaf()
		n.pass(2 * time.Hour)
		n.pass(time.Hour)
		open, all := 0, 0
		for range 600 {
			n.pass(time.Second)
			all++
			open += n.opened()
		}
		if open == 0 || open > all/2 {
			n.Errorf("a socket is open for %d of %d s", open, all)
		}
		n.release(key(1))
		n.wantSent(release, 0) // nothing is held
		n.wantState(key(1), "")
	})
}

func TestNAK(t *testing.T) {
	on(t, func(n *node) {
		first := n.hold(key(1), pod(1))
		n.set(func() { n.refuse = true })
		n.pass(31 * time.Minute)
		n.wantState(key(1), leaseapi.StateLost)
		if c := n.changed(); len(c) == 0 || !strings.Contains(c[0].Reason, "DHCPNAK") {
			n.Fatalf("changed: %+v", c)
		}
		// Another address would help nobody.
		n.set(func() {
			n.refuse = false
			n.known[string(pod(1).ClientID)] = netip.MustParseAddr("10.0.9.9")
		})
		n.pass(10 * time.Minute)
		n.wantState(key(1), leaseapi.StateLost)
		n.set(func() { n.known[string(pod(1).ClientID)] = first.Address.Addr() })
		n.pass(10 * time.Minute)
		n.wantState(key(1), leaseapi.StateBound)
	})
}

// A new sandbox takes what the server has now.
func TestLostLeaseIsTakenOver(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		n.set(func() { n.refuse = true })
		n.pass(40 * time.Minute)
		n.wantState(key(1), leaseapi.StateLost)
		n.set(func() {
			n.refuse = false
			n.known[string(pod(1).ClientID)] = netip.MustParseAddr("10.0.9.9")
			clear(n.leases)
		})
		if l := n.acquire(key(2), pod(1)); l.Address.Addr().String() != "10.0.9.9" || l.Reason != "" {
			n.Errorf("%+v", l)
		}
		n.wantFile(key(1), false)
		n.wantActive(1)
	})
}

func TestInfiniteLease(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.terms = 0xffffffff * time.Second })
		l := n.hold(key(1), pod(1))
		if !l.ExpiresAt.IsZero() || !l.RenewAt.IsZero() {
			n.Errorf("%+v", l)
		}
		n.pass(365 * 24 * time.Hour)
		n.wantSent(request, 1)
		n.stop()
		n.start()
		n.wantState(key(1), leaseapi.StateBound)
		n.release(key(1))
		n.wantActive(0)
	})
}

// An OFFER that comes while the next DISCOVER waits in a full queue is good, and
// the queue then leaves the client alone: an infinite lease has no deadline that
// would tell it from one that has yet to begin.
func TestLateOffer(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() {
			n.terms = 0xffffffff * time.Second
			n.slow[discover] = 6 * time.Second
		})
		var all []*waiting
		for i := range 40 {
			r := pod(i)
			r.BudgetMS = 120_000
			all = append(all, n.ask(n.Context(), key(i), r))
		}
		for _, a := range all {
			<-a.done
			if a.err != nil {
				n.Error(a.err)
			}
		}
		before := len(n.sent(discover))
		n.pass(10 * time.Minute)
		if after := len(n.sent(discover)); after != before {
			n.Errorf("%d DISCOVER after all were bound", after-before)
		}
		n.wantActive(40)
	})
}

// The server's clock runs out while nobody can send: the loss is noticed in
// time, and the place in the window is not lost.
func TestUplinkGoneAndBack(t *testing.T) {
	on(t, func(n *node) {
		for i := range 20 {
			n.hold(key(i), pod(i))
		}
		n.set(func() { n.noUplink = true })
		n.pass(30 * time.Minute)
		n.pass(31 * time.Minute)
		for i := range 20 {
			n.wantState(key(i), leaseapi.StateLost)
		}
		n.set(func() { n.noUplink = false })
		n.pass(3 * time.Minute)
		for i := range 20 {
			n.wantState(key(i), leaseapi.StateBound)
		}
	})
}

// A NIC that was removed and made anew leaves a dead socket behind.
func TestDeadSocketIsReplaced(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.slow[request] = 5 * time.Second })
		a := n.ask(n.Context(), key(1), pod(1))
		n.pass(time.Second)
		n.set(func() {
			for d := range n.conns {
				d.dead = true
			}
		})
		n.acquireAfter(a)
		if l := n.hold(key(2), pod(2)); !l.Address.IsValid() {
			n.Errorf("%+v", l)
		}
	})
}

func (n *node) acquireAfter(a *waiting) {
	n.Helper()
	<-a.done
	if a.err != nil {
		n.Errorf("acquire: %v", a.err)
	}
}
