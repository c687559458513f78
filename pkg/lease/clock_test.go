package lease_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// A link that flaps: nothing is lost for good, nothing spins.
func TestALinkThatFlaps(t *testing.T) {
	for _, down := range []error{unix.ENETDOWN, unix.ENOBUFS} {
		t.Run(down.Error(), func(t *testing.T) {
			on(t, func(n *node) {
				for i := range 20 {
					n.hold(key(i), pod(i))
				}
				n.pass(20 * time.Minute)
				n.set(func() { n.sendErr = down })
				n.pass(15 * time.Minute) // T1 was meanwhile
				tries := 0
				n.set(func() { tries, n.sendErr = n.failed, nil })
				if tries == 0 || tries > 20*15*60/20 {
					n.Errorf("%d tries to send", tries)
				}
				n.pass(31 * time.Second)
				n.wantSent(request, 40)
				for i := range 20 {
					n.wantState(key(i), leaseapi.StateBound)
				}
				// An ADD that met it gets its lease as soon as it is over.
				n.set(func() { n.sendErr = down })
				a := n.ask(n.Context(), key(50), pod(50))
				n.pass(2 * time.Second)
				n.set(func() { n.sendErr = nil })
				n.acquireAfter(a)
				n.wantAll(n.crowd(100, 150)) // the window has lost no place
			})
		})
	}
}

// The wall clock is set by a day: nothing happens, not even after a restart.
func TestTheWallClockIsSet(t *testing.T) {
	for _, step := range []time.Duration{24 * time.Hour, -24 * time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			on(t, func(n *node) {
				n.hold(key(1), pod(1))
				n.pass(time.Minute)
				before := len(n.sent())
				n.step.Store(int64(step))
				n.pass(time.Minute)
				n.acquire(key(2), pod(1)) // stored anew
				n.stop()
				n.step.Store(-int64(step))
				n.start()
				n.pass(20 * time.Minute)
				if got := len(n.sent()); got != before {
					n.Errorf("%d packets", got-before)
				}
				n.wantState(key(2), leaseapi.StateBound)
				n.pass(20 * time.Minute)
				n.wantSent(request, 2)
				if c := n.changed(); len(c) != 0 {
					n.Errorf("changed: %+v", c)
				}
			})
		})
	}
}

// A suspend stops the timers, not the boot-time clock.
func TestSuspend(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		n.slept.Store(int64(31 * time.Minute))
		n.pass(31 * time.Second) // it looks at the clock that often
		n.wantSent(request, 2)
		n.wantState(key(1), leaseapi.StateBound)
		n.slept.Add(int64(2 * time.Hour))
		n.pass(31 * time.Second)
		c := n.changed()
		if len(c) == 0 || c[0].State != leaseapi.StateLost {
			n.Fatalf("changed: %+v", c)
		}
		n.pass(10 * time.Second)
		n.wantState(key(1), leaseapi.StateBound)
	})
}
