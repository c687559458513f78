package lease_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// wantPace checks that no second has seen more than 500 packets and a burst of
// two seconds.
func (n *node) wantPace() {
	n.Helper()
	n.wantAtMost(500 + 1500)
}

// wantAtMost checks how many packets any second has seen, of DHCP and of ARP.
func (n *node) wantAtMost(most int) {
	n.Helper()
	n.wantAtMostOn(most, 0)
}

func (n *node) crowd(from, to int) []*waiting {
	n.Helper()
	return n.crowdOn(from, to, pod)
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
		began := time.Now()
		n.wantAll(n.crowd(0, 1000))
		// 1,000 clients, 32 at once, twice 10 ms each are 0.6 s; but 2,000
		// packets are more than a burst.
		if took := time.Since(began); took > 2100*time.Millisecond {
			n.Errorf("1000 ADDs took %s", took)
		}
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

// A server that refuses one after another gets less, and when it grants again,
// more.
func TestWindowShrinksOnNAKAndGrows(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.delay, n.refuse = 50*time.Millisecond, true })
		all := n.crowd(0, 100)
		n.pass(2 * time.Second)
		n.set(func() { n.most, n.inFlight = 0, map[string]bool{} })
		n.pass(20 * time.Second)
		n.set(func() {
			// Each OFFER lets the window of 4 grow by one, each NAK halves it.
			if n.most > 12 {
				n.Errorf("%d exchanges at once with a server that refuses all", n.most)
			}
			n.refuse, n.most, n.inFlight = false, 0, map[string]bool{}
		})
		n.wantAll(all)
		n.wantAll(n.crowd(100, 300))
		if n.most != 32 {
			n.Errorf("%d exchanges at once, 32 wanted again", n.most)
		}
		n.wantPace()
	})
}

// A switch counts: what one lease of a segment wants holds for all there.
func TestThePaceIsKept(t *testing.T) {
	for _, pace := range []int{1, 10, 15, 40, 100} {
		t.Run(strconv.Itoa(pace), func(t *testing.T) {
			on(t, func(n *node) {
				slow := pod(1000)
				slow.Pace, slow.BudgetMS = pace, 60_000
				n.acquire(key(1000), slow)
				crowd := 3 * pace
				all := n.crowd(0, crowd)
				n.pass(55 * time.Second)
				n.wantAll(all)
				n.pass(time.Minute)
				n.release(key(1000)) // the last that wants it; the others' RELEASEs
				n.wantAtMost(pace)
				before := len(n.sent())
				if err := n.keeper.GC(n.Context(), "lan", nil); err != nil {
					n.Error(err)
				}
				n.pass(10 * time.Minute)
				n.wantAtMost(pace)
				n.wantActive(0)
				if got := len(n.sent()) - before; got < 3*crowd {
					n.Errorf("%d packets for %d leases", got, crowd)
				}
				n.wantAll(n.crowd(2000, 2200)) // nobody wants it any more
				n.wantPace()
				if all := n.sent(discover); all[len(all)-1].at.Sub(all[len(all)-200].at) > 2*time.Second {
					n.Error("the pace outlives the leases that want it")
				}
			})
		})
	}
}

// A pace is its segment's, no other's.
func TestThePaceOfAnotherSegment(t *testing.T) {
	on(t, func(n *node) {
		slow := pod(1000)
		slow.Pace, slow.Uplink, slow.Bridge = 1, "eth2", "br2"
		n.acquire(key(1000), slow)
		began := time.Now()
		n.wantAll(n.crowd(0, 100))
		if took := time.Since(began); took > time.Second {
			n.Errorf("100 ADDs took %s", took)
		}
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
