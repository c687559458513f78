package lease_test

import (
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// wantPace checks that no second has seen more than 500 packets and a burst.
func (n *node) wantPace() {
	n.Helper()
	const most = 500 + 32
	all := n.sent()
	first := 0
	for i, f := range all {
		for f.at.Sub(all[first].at) >= time.Second {
			first++
		}
		if got := i - first + 1; got > most {
			n.Fatalf("%d packets within a second, %d at most", got, most)
		}
	}
}

func (n *node) crowd(from, to int) []*waiting {
	n.Helper()
	var all []*waiting
	for i := from; i < to; i++ {
		r := pod(i)
		r.BudgetMS = 60_000
		a := &waiting{done: make(chan struct{})}
		all = append(all, a)
		go func() {
			defer close(a.done)
			a.lease, a.err = n.keeper.Acquire(n.Context(), key(i), r)
		}()
	}
	return all
}

func (n *node) wantAll(all []*waiting) {
	n.Helper()
	failed := 0
	for _, a := range all {
		if <-a.done; a.err != nil {
			failed++
			n.Log(a.err)
		}
	}
	if failed > 0 {
		n.Errorf("%d of %d failed", failed, len(all))
	}
}

func TestThousandClients(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.delay = 10 * time.Millisecond })
		n.wantAll(n.crowd(0, 1000))
		n.wantActive(1000)
		n.wantSent(discover, 1000)
		n.wantSent(request, 1000)
		if n.most > 32 || n.most < 17 {
			n.Errorf("%d exchanges at once: 16 at first, 32 at most", n.most)
		}
		n.wantPace()
		if err := n.keeper.GC(n.Context(), "lan", nil); err != nil {
			n.Error(err)
		}
		n.wantActive(0)
		n.wantPace()
	})
}

func TestFirstWindow(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.delay = 3 * time.Second })
		all := n.crowd(0, 100)
		n.pass(2 * time.Second)
		n.wantSent(discover, 16)
		n.wantAll(all)
	})
}

// Renewals go before ADDs.
func TestRenewalsBeforeADDs(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.terms = 2 * time.Hour })
		for i := range 10 {
			n.hold(key(i), pod(i))
		}
		l, _ := n.keeper.Get(key(0))
		n.pass(time.Until(l.RenewAt) - 10*time.Minute)
		n.stop()
		n.pass(20 * time.Minute) // all are due now
		before := len(n.sent())
		n.set(func() { n.delay = time.Second })
		n.start()
		n.pass(10 * time.Millisecond)
		n.wantAll(n.crowd(100, 200))
		for _, f := range n.sent()[before : before+10] {
			if f.kind() != request {
				n.Errorf("%s went before a renewal", f.kind())
			}
		}
	})
}

// A window that is full of clients that nobody answers opens again: the others
// get their turn within their budget.
func TestSilentClientsDoNotBlockOthers(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.stranger = func(mac string) bool { return mac < "02:00:00:00:00:32" } })
		strangers := n.crowd(0, 50)
		n.pass(time.Second)
		n.wantAll(n.crowd(50, 150))
		for _, a := range strangers {
			if <-a.done; a.err == nil {
				n.Error("a stranger got a lease")
			}
		}
		n.pass(2 * time.Minute)
		n.wantActive(100)
		if n.opened() != 0 {
			n.Error("the socket stays open")
		}
	})
}

// A server that loses what is too much gets less, and all get their leases.
func TestWindowShrinksOnLossAndGrows(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() {
			n.delay = 5 * time.Millisecond
			n.mute = func(dhcpv4.MessageType) bool { // its socket buffer is full
				all := n.frames
				return len(all) > 12 && time.Since(all[len(all)-12].at) < n.delay
			}
		})
		n.wantAll(n.crowd(0, 300))
		n.wantActive(300)
		n.wantPace()
		if got := len(n.sent(discover)); got == 300 || got > 600 {
			n.Errorf("%d DISCOVER for 300 clients", got)
		}
	})
}

func TestWindowShrinksOnNAK(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.refuse = true })
		all := n.crowd(0, 40)
		n.pass(20 * time.Second)
		n.set(func() { n.refuse = false })
		n.wantAll(all)
		n.wantPace()
	})
}

func TestSocketIsOpenOnlyWhileExchangesAreInFlight(t *testing.T) {
	on(t, func(n *node) {
		n.acquire(key(1), pod(1))
		n.pass(900 * time.Millisecond)
		if n.opened() != 1 {
			n.Error("the socket does not linger")
		}
		n.pass(200 * time.Millisecond)
		if n.opened() != 0 {
			n.Error("the socket stays open")
		}
		n.deaf()
		before, open := len(n.sent()), 0
		for range 40 * 60 {
			n.pass(time.Second)
			open += n.opened()
		}
		renewals := len(n.sent()) - before
		if renewals == 0 || open > renewals*12 {
			n.Errorf("the socket is open for %d s of %d renewals without an answer", open, renewals)
		}
		n.awake()
		n.pass(15 * time.Second)
		n.release(key(1))
		n.pass(5100 * time.Millisecond) // it is repeated after 1 and 4 s
		if n.opened() != 0 {
			n.Error("the socket stays open")
		}
	})
}
