package lease_test

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/wire"
)

// first is the address that the server gives first.
func first() netip.Addr { return netip.MustParseAddr("10.0.0.10") }

// checked is pod with a kind of conflict detection.
func checked(i int, c leaseapi.Conflict) leaseapi.Request {
	r := pod(i)
	r.Conflict = c
	return r
}

// settleAddress puts a host onto an address.
func (n *node) settleAddress(addr netip.Addr) {
	n.set(func() { n.hosts[addr] = stranger() })
}

func TestProbesStartWithTheOfferAndDelayNothing(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.slow[request] = 500 * time.Millisecond })
		began := time.Now()
		l := n.acquire(key(1), pod(1))
		if took := time.Since(began); took > 510*time.Millisecond {
			n.Errorf("it took %s", took)
		}
		probes, _ := n.spokenOf(l.Address.Addr())
		if len(probes) != 3 || probes[0].at.Sub(began) > 10*time.Millisecond || probes[2].at.Sub(began) > 250*time.Millisecond {
			n.Errorf("probes: %+v", probes)
		}
		for _, p := range probes {
			if p.link != "br0" || p.SenderMAC != (wire.MAC{2, 0, 0, 0, 0, 1}) {
				n.Errorf("%+v", p)
			}
		}
		n.wantSpoken(l.Address.Addr(), 3, 0)
		n.wantState(key(1), leaseapi.StateBound) // confirmed
		n.pass(10 * time.Second)
		n.wantSpoken(l.Address.Addr(), 3, 2)
		n.wantListening(1)
		n.release(key(1))
		n.pass(2 * time.Second)
		n.wantListening(0)
	})
}

// The server answers late enough that the conflict is known before the grant:
// nobody is told of the address, and another is got in the same ADD.
func TestAnAddressFoundTakenBeforeItIsToldIsDeclined(t *testing.T) {
	for _, c := range []leaseapi.Conflict{"", leaseapi.ConflictOptimistic, leaseapi.ConflictWait} {
		t.Run(string(c), func(t *testing.T) {
			on(t, func(n *node) {
				n.set(func() { n.slow[request] = 100 * time.Millisecond })
				n.settleAddress(first())
				r := checked(1, c)
				r.BudgetMS = 30_000
				l := n.acquire(key(1), r)
				if l.Address.Addr() == first() {
					n.Errorf("%s is in use", l.Address)
				}
				n.wantSent(decline, 1)
				f := n.sent(decline)[0]
				if asked(f.msg) != first() || f.Src != netip.IPv4Unspecified() || !strings.Contains(string(f.msg.Options[56]), "52:54:00:07:07:07") {
					n.Errorf("%s from %s", f.msg.Summary(), f.Src)
				}
				if gap := n.sent(discover)[1].at.Sub(f.at); gap < 10*time.Second {
					n.Errorf("asked again after %s, 10 s at least (RFC 2131 §3.1)", gap)
				}
				n.wantState(key(1), leaseapi.StateBound)
				n.wantActive(1)
				if c := n.changed(); len(c) != 0 {
					n.Errorf("changed: %+v", c)
				}
			})
		})
	}
}

func TestTheErrorNamesTheConflict(t *testing.T) {
	on(t, func(n *node) {
		n.settleAddress(first())
		_, err := n.keeper.Acquire(n.Context(), key(1), checked(1, leaseapi.ConflictWait))
		wantCode(n, err, leaseapi.CodeTryAgainLater)
		for _, want := range []string{"10.0.0.10 was declined: in use by 52:54:00:07:07:07", "waits at least 10 s"} {
			if !strings.Contains(err.Error(), want) {
				n.Errorf("%v does not say %q", err, want)
			}
		}
		if strings.Contains(err.Error(), "no DHCPOFFER") {
			n.Error(err)
		}
		synctest.Wait()
		n.wantFile(key(1), false)
		n.wantActive(0)
		n.wantSent(release, 0)
	})
}

// The conflict is seen when the ADD has been answered: the address is lost.
func TestAnAddressFoundTakenAfterItWasTold(t *testing.T) {
	on(t, func(n *node) {
		n.settleAddress(first())
		n.set(func() { n.slow[request] = -time.Millisecond }) // faster than the host
		l := n.acquire(key(1), pod(1))
		if l.Address.Addr() != first() {
			n.Fatalf("%+v", l)
		}
		n.pass(time.Second)
		n.wantSent(decline, 1)
		c := n.changed()
		if len(c) != 1 || c[0].State != leaseapi.StateLost || !strings.Contains(c[0].Reason, "in use by 52:54:00:07:07:07 (ARP conflict") || c[0].Address != l.Address {
			n.Fatalf("changed: %+v", c)
		}
		n.pass(time.Minute) // another would help nobody
		n.wantState(key(1), leaseapi.StateLost)
		// The host has gone, and the server has forgotten.
		n.set(func() {
			clear(n.hosts)
			clear(n.declined)
			n.known[string(pod(1).ClientID)] = first()
		})
		n.pass(6 * time.Minute)
		n.wantState(key(1), leaseapi.StateBound)
		if c := n.changed(); len(c) != 2 || c[1].State != leaseapi.StateBound || c[1].Address != l.Address {
			n.Errorf("changed: %+v", c)
		}
	})
}

func TestWaitAnswersOnceTheAddressIsFree(t *testing.T) {
	on(t, func(n *node) {
		began := time.Now()
		l := n.acquire(key(1), checked(1, leaseapi.ConflictWait))
		if took := time.Since(began); took < 4*time.Second || took > 7100*time.Millisecond {
			n.Errorf("it took %s, 4 to 7 s wanted", took)
		}
		n.wantSpoken(l.Address.Addr(), 3, 0)
		n.wantFile(key(1), true)
	})
}

func TestWaitThatDoesNotFitTheBudget(t *testing.T) {
	on(t, func(n *node) {
		r := checked(1, leaseapi.ConflictWait)
		r.BudgetMS = 3000
		_, err := n.keeper.Acquire(n.Context(), key(1), r)
		wantCode(n, err, leaseapi.CodeTryAgainLater)
		if !strings.Contains(err.Error(), "too late to be probed") {
			n.Error(err)
		}
		synctest.Wait()
		n.wantActive(0)
		n.wantFile(key(1), false)
	})
}

func TestOffSaysNothing(t *testing.T) {
	on(t, func(n *node) {
		n.settleAddress(first())
		l := n.hold(key(1), checked(1, leaseapi.ConflictOff))
		n.claim(l.Address.Addr(), stranger())
		if err := n.keeper.Verify("eth1"); err != nil {
			n.Error(err)
		}
		n.pass(time.Minute)
		n.wantSpoken(l.Address.Addr(), 0, 0)
		n.wantListening(0)
		n.wantState(key(1), leaseapi.StateBound)
	})
}

// RFC 5227 §2.4(b): defended once, given up when the other insists.
func TestAHeldAddressIsDefended(t *testing.T) {
	on(t, func(n *node) {
		l := n.hold(key(1), pod(1))
		n.pass(time.Minute)
		n.wantSpoken(l.Address.Addr(), 3, 2)
		n.claim(l.Address.Addr(), stranger())
		n.wantSpoken(l.Address.Addr(), 3, 3)
		n.wantState(key(1), leaseapi.StateBound)
		n.pass(20 * time.Second)
		n.claim(l.Address.Addr(), stranger())
		n.wantSpoken(l.Address.Addr(), 3, 4)
		n.pass(time.Second)
		n.claim(l.Address.Addr(), stranger())
		n.wantState(key(1), leaseapi.StateLost)
		n.wantSent(decline, 1)
		if c := n.changed(); len(c) != 1 || !strings.Contains(c[0].Reason, "in use by 52:54:00:07:07:07") {
			n.Errorf("changed: %+v", c)
		}
		n.release(key(1))
		n.wantSent(release, 0) // it is not ours any more
	})
}

// A restart neither probes nor announces, and defends.
func TestAnAdoptedAddressIsDefended(t *testing.T) {
	on(t, func(n *node) {
		l := n.hold(key(1), pod(1))
		n.pass(time.Minute)
		n.stop()
		n.start()
		n.wantState(key(1), leaseapi.StateBound)
		n.pass(time.Second)
		n.wantSpoken(l.Address.Addr(), 3, 2)
		n.claim(l.Address.Addr(), stranger())
		n.wantSpoken(l.Address.Addr(), 3, 3)
		n.pass(time.Second)
		n.claim(l.Address.Addr(), stranger())
		n.wantState(key(1), leaseapi.StateLost)
	})
}

// Our own Pods are no strangers: those of now, and those that have just gone.
func TestOurOwnPodsAreNoConflict(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		l := n.hold(key(2), pod(2))
		own := wire.MAC{2, 0, 0, 0, 0, 1}
		for range 3 {
			n.claim(l.Address.Addr(), own)
		}
		n.release(key(1))
		for range 3 {
			n.claim(l.Address.Addr(), own)
		}
		n.pass(time.Minute)
		n.wantState(key(2), leaseapi.StateBound)
		n.wantSpoken(l.Address.Addr(), 3, 2)
		n.pass(5 * time.Minute) // now it is somebody else's
		for range 3 {
			n.claim(l.Address.Addr(), own)
		}
		n.wantState(key(2), leaseapi.StateLost)
	})
}

// A link whose ARP cannot be heard delays nobody; it is tried again.
func TestWithoutARPLeasesAreGotAllTheSame(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.arpErr = unix.EPERM })
		n.settleAddress(first())
		began := time.Now()
		l := n.hold(key(1), checked(1, leaseapi.ConflictWait))
		if took := time.Since(began); took > time.Second {
			n.Errorf("it took %s", took)
		}
		n.wantSpoken(l.Address.Addr(), 0, 0)
		n.pass(10 * time.Second)
		n.set(func() { n.arpErr = nil })
		n.pass(2 * time.Minute)
		n.wantListening(1)
		n.claim(l.Address.Addr(), stranger())
		n.wantSpoken(l.Address.Addr(), 0, 1)
	})
}

// A bridge that is removed and made anew is listened to again.
func TestAnEarThatBreaksIsOpenedAgain(t *testing.T) {
	on(t, func(n *node) {
		l := n.hold(key(1), pod(1))
		n.pass(time.Minute)
		a := n.ask(n.Context(), key(2), checked(2, leaseapi.ConflictWait))
		n.pass(time.Second)
		n.set(func() {
			for d := range n.ears {
				d.broken <- unix.ENODEV
			}
		})
		synctest.Wait()
		n.wantListening(0)
		<-a.done
		if a.err != nil {
			n.Error(a.err)
		}
		n.pass(10 * time.Second)
		n.wantListening(1)
		n.claim(l.Address.Addr(), stranger())
		n.wantSpoken(l.Address.Addr(), 3, 3)
	})
}

// A VLAN's bridge goes with its last Pod and comes with the next, sooner than the
// ear is closed.
func TestALinkThatWasMadeAnewIsProbedAllTheSame(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		n.pass(time.Minute)
		n.release(key(1))
		n.set(func() {
			for d := range n.ears {
				d.dead = true
			}
		})
		n.settleAddress(first())
		r := checked(2, leaseapi.ConflictWait)
		r.BudgetMS = 30_000
		if l := n.acquire(key(2), r); l.Address.Addr() == first() {
			n.Errorf("%s is in use", l.Address)
		}
		n.wantListening(1)
	})
}

// One change of the filter serves many.
func TestTheFilterIsChangedInBatches(t *testing.T) {
	on(t, func(n *node) {
		began := time.Now()
		n.wantAll(n.crowd(0, 500))
		n.pass(20 * time.Second)
		took := time.Since(began)
		n.set(func() {
			if n.told > int(took/(20*time.Millisecond))+2 || n.told > 400 {
				n.Errorf("the filter was changed %d times in %s", n.told, took)
			}
			for d := range n.ears {
				if len(d.claims) != 500 {
					n.Errorf("%d claims", len(d.claims))
				}
			}
		})
		for i := range 500 {
			n.wantState(key(i), leaseapi.StateBound)
		}
	})
}

// Macvlan's Pods have no bridge: their parent is listened to. By the Pod's own
// interface alone there is nothing to listen to.
func TestWhereARPIsHeard(t *testing.T) {
	on(t, func(n *node) {
		r := pod(1)
		r.Bridge = ""
		l := n.acquire(key(1), r)
		n.pass(time.Second)
		if probes, _ := n.spokenOf(l.Address.Addr()); len(probes) != 3 || probes[0].link != "eth1" {
			n.Errorf("%+v", probes)
		}
		r = inPod(2)
		r.Bridge = ""
		l = n.acquire(key(2), r)
		n.pass(time.Second)
		n.wantSpoken(l.Address.Addr(), 0, 0)
		l = n.acquire(key(3), inPod(3))
		n.pass(time.Second)
		if probes, _ := n.spokenOf(l.Address.Addr()); len(probes) != 3 || probes[0].link != "br0" {
			n.Errorf("%+v", probes)
		}
	})
}
