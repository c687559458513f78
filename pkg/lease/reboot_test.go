package lease_test

import (
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/lease"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// reboot stops the keeper and starts it on another boot.
func (n *node) reboot(away time.Duration) {
	n.Helper()
	n.stop()
	n.pass(away)
	n.bootID, n.booted = n.bootID+"+", time.Now().Add(-time.Minute)
	n.start()
}

// The Pods are gone; their sandboxes will come again.
func TestAfterARebootALeaseIsKeptForItsClient(t *testing.T) {
	on(t, func(n *node) {
		n.judge(lease.Refuted) // their records are of the boot before
		l := n.acquire(key(1), pod(1))
		n.acquire(key(2), pod(2))
		n.pass(time.Second)
		n.reboot(5 * time.Minute)
		before := len(n.sent())
		n.pass(5 * time.Minute)
		if got := len(n.sent()); got != before {
			n.Errorf("%d packets", got-before)
		}
		n.wantSpoken(l.Address.Addr(), 3, 0)
		n.wantState(key(1), leaseapi.StatePending)
		again := n.acquire(key(11), pod(1))
		if again.Address != l.Address {
			n.Errorf("%s, then %s", l.Address, again.Address)
		}
		n.judge(lease.Confirmed)
		f := n.sent()[before]
		if f.kind() != request || asked(f.msg) != l.Address.Addr() || f.msg.ServerIdentifier() != nil {
			n.Errorf("no INIT-REBOOT: %s", f.msg.Summary())
		}
		n.wantFile(key(1), false)
		n.wantFile(key(11), true)
		n.pass(6 * time.Minute) // nobody came for the other
		n.wantSent(release, 1)
		n.wantFile(key(2), false)
		n.wantState(key(2), "")
		n.pass(time.Hour)
		n.wantState(key(11), leaseapi.StateBound)
		n.wantActive(1)
	})
}

// Times of before are this boot's by the wall clock: what ran out meanwhile is
// dropped, and nobody hears of it.
func TestAfterARebootWhatRanOutIsDropped(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		n.reboot(55 * time.Minute)
		n.wantState(key(1), leaseapi.StatePending)
		n.pass(6 * time.Minute)
		n.wantState(key(1), "")
		n.wantFile(key(1), false)
		n.hold(key(2), pod(2))
		n.reboot(2 * time.Hour)
		n.wantState(key(2), "")
		n.wantFile(key(2), false)
		n.wantSent(release, 0)
	})
}

// The server has given the address away: any other will do.
func TestAfterARebootAnotherAddress(t *testing.T) {
	for name, change := range map[string]func(*node){
		"refused": func(n *node) { n.strict = true },
		"silence": func(*node) {},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, func(n *node) {
				n.hold(key(1), pod(1))
				n.reboot(time.Minute)
				n.set(func() {
					change(n)
					n.known[string(pod(1).ClientID)] = other()
					clear(n.leases)
				})
				if l := n.acquire(key(2), pod(1)); l.Address.Addr() != other() {
					n.Errorf("%+v", l)
				}
				n.wantState(key(2), leaseapi.StateBound)
				n.wantActive(1)
			})
		})
	}
}

// A server that has forgotten all may give what is reserved only to another.
func TestAfterARebootWhatIsReservedYields(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		n.reboot(time.Minute)
		n.set(func() {
			clear(n.known)
			clear(n.leases)
		})
		if l := n.hold(key(2), pod(2)); l.Address.Addr() != first() {
			n.Errorf("%+v", l)
		}
		n.pass(20 * time.Minute)
		n.wantState(key(1), "")
		n.wantState(key(2), leaseapi.StateBound)
		n.wantActive(1)
	})
}

// An ADD that fails leaves nothing behind, the former lease neither.
func TestAfterARebootAnADDThatFails(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		n.reboot(time.Minute)
		n.deaf()
		_, err := n.keeper.Acquire(n.Context(), key(2), pod(1))
		wantCode(n, err, leaseapi.CodeTryAgainLater)
		n.pass(time.Second)
		n.wantSent(release, 1)
		n.wantFile(key(1), false)
		n.wantState(key(2), "")
	})
}

// The former address was asked for, and is granted when nobody waits any more.
func TestAfterARebootALateACKIsReleased(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		n.reboot(time.Minute)
		n.set(func() {
			n.slow[request] = 8 * time.Second
			n.mute = func(k dhcpv4.MessageType) bool { return k == discover }
		})
		r := pod(1)
		r.BudgetMS = 3000
		_, err := n.keeper.Acquire(n.Context(), key(2), r)
		wantCode(n, err, leaseapi.CodeTryAgainLater)
		n.pass(time.Second)
		n.wantSent(release, 1)
		n.set(func() { n.leases[first()] = string(pod(1).ClientID) }) // it grants only now
		n.pass(10 * time.Second)
		n.wantSent(release, 2)
		n.wantActive(0)
	})
}

// A DEL is a DEL, after a reboot too.
func TestAfterARebootReleaseGivesBack(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		n.reboot(time.Minute)
		n.release(key(1))
		n.wantActive(0)
		n.wantFile(key(1), false)
	})
}
