package lease_test

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// The Pod's new sandbox is in another VLAN: what it had is another network's,
// and goes back to that one's server.
func TestAPodThatMovesToAnotherVLANBeginsAnew(t *testing.T) {
	other := func(r leaseapi.Request) leaseapi.Request { r.VLAN = 20; return r }
	elsewhere := func(r leaseapi.Request) leaseapi.Request {
		r.Bridge, r.Uplink, r.VLAN = "br0-20", "eth1.20", 0
		return r
	}
	for name, move := range map[string]func(leaseapi.Request) leaseapi.Request{"of the bridge": other, "by another bridge": elsewhere} {
		t.Run(name, func(t *testing.T) {
			for _, again := range []leaseapi.Key{key(1), key(2)} {
				on(t, func(n *node) {
					n.hold(key(1), podOn(10, 1))
					to := move(podOn(10, 1))
					wantIn(n, n.acquire(again, to), to.VLAN, first())
					n.wantState(again, leaseapi.StateBound)
					n.wantHeld(map[uint16]int{10: 0, to.VLAN: 1})
					if again == key(2) {
						n.release(key(1)) // the old sandbox's DEL
						n.wantState(key(1), "")
					}
					n.pass(2 * time.Hour)
					n.wantHeld(map[uint16]int{10: 0, to.VLAN: 1})
					n.release(again)
					n.wantHeld(map[uint16]int{10: 0, to.VLAN: 0})
					n.wantNoFilesLater()
				})
			}
		})
	}
}

func TestAPodThatMovesWhileItAsks(t *testing.T) {
	on(t, func(n *node) {
		n.vlan(10).deaf()
		a := n.ask(n.Context(), key(1), podOn(10, 1))
		wantIn(n, n.acquire(key(2), podOn(20, 1)), 20, first())
		<-a.done
		wantCode(n, a.err, leaseapi.CodeTryAgainLater)
		n.wantState(key(1), "")
		n.wantState(key(2), leaseapi.StateBound)
	})
}

// After a reboot too, while its lease is kept for it.
func TestAPodThatMovesWithAReboot(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), podOn(10, 1))
		n.stop()
		n.bootID = "boot-2"
		n.start()
		wantIn(n, n.acquire(key(2), podOn(20, 1)), 20, first())
		n.wantHeld(map[uint16]int{10: 0, 20: 1})
	})
}

// The former VLAN's uplink is gone: its lease runs out there, and nobody waits
// for it.
func TestAPodThatMovesFromWhatIsGone(t *testing.T) {
	from := func(i int) leaseapi.Request {
		r := pod(i)
		r.Uplink, r.Bridge = "eth1.10", "br0-10"
		return r
	}
	on(t, func(n *node) {
		n.hold(key(1), from(1))
		n.hold(key(2), from(2))
		n.pass(time.Minute)
		n.set(func() { n.noUplink = true })
		n.release(key(2)) // owed
		began := time.Now()
		for i := 1; i < 3; i++ {
			n.acquire(key(10+i), podOn(20, i))
		}
		if took := time.Since(began); took > time.Second {
			n.Errorf("the ADDs waited %s for what is gone", took)
		}
		n.wantHeld(map[uint16]int{0: 2, 20: 2})
		n.stop()
		n.start()
		for i := 1; i < 3; i++ {
			n.wantState(key(10+i), leaseapi.StateBound)
			n.release(key(10 + i))
		}
		n.wantHeld(map[uint16]int{20: 0})
	})
}

// One that is only down may be back soon: two leases of one client are one too
// many.
func TestAPodThatMovesFromWhatIsDown(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), podOn(10, 1))
		n.pass(time.Minute)
		ten := n.vlan(10)
		ten.set(func() { ten.sendErr = unix.ENETDOWN })
		_, err := n.keeper.Acquire(n.Context(), key(2), podOn(20, 1))
		wantCode(n, err, leaseapi.CodeTryAgainLater)
		if !strings.Contains(err.Error(), "a lease on br0 vlan 10 before, which cannot be given back") {
			n.Error(err)
		}
		ten.set(func() { ten.sendErr = nil })
		wantIn(n, n.acquire(key(2), podOn(20, 1)), 20, first()) // at once
		n.wantHeld(map[uint16]int{10: 0, 20: 1})
	})
}
