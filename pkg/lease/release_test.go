package lease_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/lease"
	"github.com/podlan/podlan/pkg/leaseapi"
)

func TestReleaseIsUnicastFromTheLeasedAddress(t *testing.T) {
	on(t, func(n *node) {
		l := n.hold(key(1), pod(1))
		n.release(key(1))
		f := n.sent(release)[0]
		if f.Src != l.Address.Addr() || f.Dst != serverIP() || f.DstMAC != serverMAC() || f.from != "uplink eth1" {
			n.Errorf("%+v", f.Datagram)
		}
		n.wantFile(key(1), false)
		n.release(key(1)) // again
		n.release(key(7)) // never held
		n.wantSent(release, 1)
	})
}

func TestReleaseThatCannotBeSentIsTriedAgain(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		n.set(func() { n.sendErr = unix.ENETDOWN })
		n.release(key(1))
		n.wantState(key(1), "")
		n.wantFile(key(1), true)
		n.pass(5 * time.Minute)
		n.set(func() { n.sendErr = nil })
		n.pass(90 * time.Second)
		n.wantSent(release, 1)
		n.wantActive(0)
		n.wantFile(key(1), false)
	})
}

func TestReleaseThatCannotBeSentEndsWithTheLease(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		n.pass(2 * time.Second) // the socket lingers
		n.set(func() { n.openErr[""] = unix.EPERM })
		n.release(key(1))
		n.pass(50 * time.Minute)
		n.wantFile(key(1), true)
		n.pass(11 * time.Minute)
		n.wantFile(key(1), false)
	})
}

// Nobody answers a RELEASE: it is sent three times, unless the client asks again.
func TestReleaseIsRepeated(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		n.release(key(1))
		n.pass(time.Hour)
		if all := n.sent(release); len(all) != 3 || all[2].at.Sub(all[0].at) != 4*time.Second {
			n.Errorf("%d RELEASE", len(all))
		}
		n.hold(key(2), pod(1))
		n.release(key(2))
		n.pass(2 * time.Second)
		n.hold(key(3), pod(1))
		n.pass(time.Minute)
		if all := n.sent(release); len(all) != 5 {
			n.Errorf("%d RELEASE", len(all))
		}
		n.wantActive(1)
		n.hold(key(4), inPod(4))
		n.release(key(4))
		n.pass(time.Minute)
		if all := n.sent(release); len(all) != 6 {
			n.Errorf("%d RELEASE", len(all))
		}
	})
}

// What is owed is known to the next podland, which need not ask anybody.
func TestOwedReleaseSurvivesARestart(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		n.hold(key(2), pod(2))
		n.set(func() { n.sendErr = unix.ENETDOWN })
		n.release(key(1))
		n.release(key(2))
		n.stop()
		n.set(func() { n.sendErr = nil })
		n.start() // where Confirm would confirm
		n.pass(time.Second)
		n.wantSent(release, 2)
		n.wantActive(0)
		n.wantFile(key(1), false)
	})
}

// One that was never tried is refuted.
func TestReleaseCutOffByAStop(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		n.stop()
		n.judge(lease.Refuted)
		n.start()
		n.pass(time.Second)
		n.wantSent(release, 1)
		n.wantActive(0)
	})
}

// The owed lease is still ours: an ADD may have it.
func TestOwedLeaseIsTakenUpAgain(t *testing.T) {
	on(t, func(n *node) {
		first := n.hold(key(1), pod(1))
		n.set(func() { n.sendErr = unix.ENETDOWN })
		n.release(key(1))
		if l := n.acquire(key(2), pod(1)); l.Address != first.Address {
			n.Errorf("%+v", l)
		}
		n.set(func() { n.sendErr = nil })
		n.pass(time.Hour)
		n.wantSent(release, 0)
		n.wantActive(1)
		n.stop()
		n.start()
		n.pass(time.Hour)
		n.wantState(key(2), leaseapi.StateBound)
	})
}

func TestGCReleasesAllAtOnce(t *testing.T) {
	on(t, func(n *node) {
		var valid []leaseapi.Key
		for i := range 30 {
			n.hold(key(i), pod(i))
			if i < 10 {
				valid = append(valid, key(i))
			}
		}
		other := key(99)
		other.Network = "other"
		n.hold(other, pod(99))
		n.set(func() { n.sendErr = unix.ENETDOWN }) // one after another would wait for each
		if err := n.keeper.GC(n.Context(), "lan", valid); err != nil {
			n.Error(err)
		}
		n.set(func() { n.sendErr = nil })
		n.pass(time.Minute)
		n.wantActive(11)
		n.wantSent(release, 20)
		n.wantState(other, leaseapi.StateBound)
		n.wantState(key(3), leaseapi.StateBound)
		if err := n.keeper.GC(n.Context(), "lan", valid); err != nil {
			n.Error(err)
		}
		n.wantSent(release, 20)
	})
}

func TestReleaseWaitsNoLongerThanItsCaller(t *testing.T) {
	on(t, func(n *node) {
		for i := range 100 {
			n.hold(key(i), pod(i))
		}
		n.pass(time.Minute)
		ctx, cancel := context.WithTimeout(n.Context(), 10*time.Millisecond)
		defer cancel()
		if err := n.keeper.GC(ctx, "lan", nil); !errors.Is(err, context.DeadlineExceeded) {
			n.Error(err)
		}
		n.pass(time.Second)
		n.wantActive(0)
	})
}

// A momentary port takes its time; a keeper that is told to end sees such a
// release through.
func TestStopWhileAReleaseIsOnItsWay(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), inPod(1))
		n.set(func() {
			n.openErr["pod /ns/1 eth0"] = os.ErrNotExist
			n.slowPort = 3 * time.Second
		})
		ended := make(chan error, 1)
		go func() { ended <- n.keeper.Release(n.Context(), key(1)) }()
		synctest.Wait()
		n.stop()
		if err := <-ended; err != nil {
			wantCode(n, err, leaseapi.CodeTryAgainLater)
		}
		n.wantSent(release, 1)
		n.wantFile(key(1), false)
	})
}

// Few momentary ports at once: the kernel makes them one by one.
func TestReleasesOfManyPods(t *testing.T) {
	on(t, func(n *node) {
		for i := range 50 {
			n.hold(key(i), inPod(i))
		}
		n.set(func() {
			for i := range 50 {
				n.openErr["pod "+inPod(i).Netns+" eth0"] = os.ErrNotExist
			}
			n.slowPort = time.Second
		})
		if err := n.keeper.GC(n.Context(), "lan", nil); err != nil {
			n.Error(err)
		}
		n.wantActive(0)
		if n.mostPorts > 8 || n.mostPorts < 2 {
			n.Errorf("%d ports at once", n.mostPorts)
		}
	})
}

// The ADD of a Pod whose release is on its way waits for it.
func TestAcquireWhileAReleaseIsOnItsWay(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), inPod(1))
		n.set(func() {
			n.openErr["pod /ns/1 eth0"] = os.ErrNotExist
			n.slowPort = time.Second
		})
		go n.keeper.Release(n.Context(), key(1)) //nolint:errcheck // seen by what is sent
		synctest.Wait()
		r := inPod(1)
		r.Netns = "/ns/2"
		n.acquire(key(2), r)
		n.wantSent(release, 1)
		n.wantSent(discover, 2)
		n.wantActive(1)
		n.wantState(key(2), leaseapi.StateBound)
		n.wantFile(key(1), false)
		n.wantFile(key(2), true)
	})
}

// A caller that gives up while it waits for a release starts nothing after.
func TestAcquireGivenUpWhileAReleaseIsOnItsWay(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), inPod(1))
		n.set(func() {
			n.openErr["pod /ns/1 eth0"] = os.ErrNotExist
			n.slowPort = time.Second
		})
		go n.keeper.Release(n.Context(), key(1)) //nolint:errcheck // seen by what is sent
		synctest.Wait()
		ctx, cancel := context.WithCancel(n.Context())
		a := n.ask(ctx, key(2), inPod(1))
		cancel()
		<-a.done
		n.pass(time.Minute)
		n.wantSent(discover, 1)
		n.wantState(key(2), "")
	})
}
