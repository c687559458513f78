package lease_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/lease"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/wire"
)

func TestLeaseIsDurableBeforeAcquireReturns(t *testing.T) {
	on(t, func(n *node) {
		l := n.acquire(key(1), pod(1))
		if _, err := os.Stat(n.file(key(1))); err != nil {
			n.Error(err)
		}
		if l.State != leaseapi.StatePending || l.Address.String() != "10.0.0.10/16" || l.Server != serverIP() {
			n.Errorf("lease %+v", l)
		}
		n.wantActive(1)
	})
}

func TestLeaseThatCannotBeStoredIsGivenBack(t *testing.T) {
	on(t, func(n *node) {
		if err := os.RemoveAll(n.dir); err != nil {
			n.Fatal(err)
		}
		_, err := n.keeper.Acquire(n.Context(), key(1), pod(1))
		wantCode(n, err, leaseapi.CodeIO)
		synctest.Wait()
		n.wantSent(release, 1)
		n.wantActive(0)
		n.wantState(key(1), "")
	})
}

func TestLeaseInUseStaysWhenItCannotBeStoredAgain(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		if err := os.RemoveAll(n.dir); err != nil {
			n.Fatal(err)
		}
		_, err := n.keeper.Acquire(n.Context(), key(1), pod(1))
		wantCode(n, err, leaseapi.CodeIO)
		synctest.Wait()
		n.wantSent(release, 0)
		n.wantState(key(1), leaseapi.StateBound)
	})
}

func TestSameKeyAgainGetsTheSameLease(t *testing.T) {
	on(t, func(n *node) {
		first := n.acquire(key(1), pod(1))
		again := n.acquire(key(1), pod(1))
		if again.Address != first.Address {
			n.Errorf("%s, then %s", first.Address, again.Address)
		}
		n.wantSent(discover, 1)
		n.release(key(1))
		n.wantActive(0)
		n.wantFile(key(1), false)
	})
}

func TestConcurrentAcquiresJoinOneExchange(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.delay = time.Second })
		var all []*waiting
		for range 4 {
			all = append(all, n.ask(n.Context(), key(1), pod(1)))
		}
		for _, a := range all {
			<-a.done
			if a.err != nil || a.lease.Address != all[0].lease.Address {
				n.Errorf("%+v, %v", a.lease, a.err)
			}
		}
		n.wantSent(discover, 1)
		n.wantSent(request, 1)
	})
}

// The first caller's going away leaves the exchange to the second.
func TestOneOfTwoWaitersGoesAway(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.delay = time.Second })
		ctx, cancel := context.WithCancel(n.Context())
		first := n.ask(ctx, key(1), pod(1))
		second := n.ask(n.Context(), key(1), pod(1))
		cancel()
		<-first.done
		<-second.done
		if !errors.Is(first.err, context.Canceled) || second.err != nil {
			n.Errorf("%v, %v", first.err, second.err)
		}
		n.wantSent(release, 0)
	})
}

func TestAllWaitersGoneBeforeRequest(t *testing.T) {
	on(t, func(n *node) {
		n.deaf()
		ctx, cancel := context.WithCancel(n.Context())
		a := n.ask(ctx, key(1), pod(1))
		cancel()
		<-a.done
		synctest.Wait()
		n.wantState(key(1), "")
		n.wantSent(release, 0) // nothing can have been granted
		n.pass(time.Minute)
		n.wantSent(discover, 1)
	})
}

func TestAllWaitersGoneAfterRequest(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.slow[request] = 3 * time.Second })
		ctx, cancel := context.WithCancel(n.Context())
		a := n.ask(ctx, key(1), pod(1))
		n.pass(time.Second)
		cancel()
		<-a.done
		synctest.Wait()
		n.wantSent(release, 1)
		n.wantActive(0)
		n.wantState(key(1), "")
		n.wantFile(key(1), false)
	})
}

// A server that grants only after it has seen the RELEASE: it has to get
// another.
func TestLateACKOfAGivenUpAcquisitionIsReleasedAgain(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.mute = func(k dhcpv4.MessageType) bool { return k == request } })
		_, err := n.keeper.Acquire(n.Context(), key(1), pod(1))
		wantCode(n, err, leaseapi.CodeTryAgainLater)
		synctest.Wait()
		n.wantSent(release, 1)
		n.pass(30 * time.Second)
		asked := n.sent(request)[0].msg
		n.awake()
		var ack *dhcpv4.DHCPv4
		n.set(func() { ack = n.serve(asked) })
		n.wantActive(1)
		n.deliver(ack)
		synctest.Wait()
		n.wantSent(release, 2)
		n.wantActive(0)
		n.deliver(ack) // to the REQUEST's repetition, the last
		n.pass(time.Second)
		n.wantSent(release, 3)
		n.pass(5 * time.Second) // the RELEASE is repeated after 1 and 4 s
		if n.opened() != 0 {
			n.Error("the socket stays open")
		}
	})
}

// Nor is what a late answer to a DISCOVER with Rapid Commit grants kept.
func TestLateRapidCommitIsReleased(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.rapid, n.slow[discover] = true, 15*time.Second })
		r := pod(1)
		r.RapidCommit = true
		_, err := n.keeper.Acquire(n.Context(), key(1), r)
		wantCode(n, err, leaseapi.CodeTryAgainLater)
		n.wantActive(1)
		n.pass(10 * time.Second)
		n.wantSent(release, 2) // both DISCOVERs were answered
		n.wantActive(0)
	})
}

func TestRapidCommit(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.rapid = true })
		r := pod(1)
		r.RapidCommit = true
		l := n.acquire(key(1), r)
		n.wantSent(discover, 1)
		n.wantSent(request, 0)
		n.pass(time.Second)
		n.wantSpoken(l.Address.Addr(), 3, 0)
		n.hold(key(2), pod(2)) // who does not ask for it gets four
		n.wantSent(request, 1)
	})
}

// Who is not to be listened to is not.
func TestOnlyTheServersThatAreAllowed(t *testing.T) {
	on(t, func(n *node) {
		r := pod(1)
		r.Servers = []netip.Addr{netip.MustParseAddr("10.0.0.2")}
		_, err := n.keeper.Acquire(n.Context(), key(1), r)
		wantCode(n, err, leaseapi.CodeTryAgainLater)
		n.wantActive(0)
		r.Servers = append(r.Servers, serverIP())
		n.hold(key(1), r)
	})
}

// A late ACK is not listened for for ever.
func TestSilenceAfterAGivenUpAcquisition(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.mute = func(k dhcpv4.MessageType) bool { return k == request } })
		_, err := n.keeper.Acquire(n.Context(), key(1), pod(1))
		wantCode(n, err, leaseapi.CodeTryAgainLater)
		n.pass(63 * time.Second)
		if n.opened() != 1 {
			n.Error("nobody listens")
		}
		n.pass(3 * time.Second)
		if n.opened() != 0 {
			n.Error("the socket stays open")
		}
	})
}

// By the time of the late ACK the client may have begun anew: the lease is then
// the new acquisition's.
func TestLateACKIsNotReleasedFromUnderANewAcquisition(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.mute = func(k dhcpv4.MessageType) bool { return k == request } })
		_, err := n.keeper.Acquire(n.Context(), key(1), pod(1))
		wantCode(n, err, leaseapi.CodeTryAgainLater)
		asked := n.sent(request)[0].msg
		n.awake()
		n.acquire(key(2), pod(1))
		var ack *dhcpv4.DHCPv4
		n.set(func() { ack = n.serve(asked) })
		n.deliver(ack)
		synctest.Wait()
		n.wantSent(release, 1)
		n.wantActive(1)
	})
}

func TestReleaseDuringAcquire(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.slow[request] = 3 * time.Second })
		a := n.ask(n.Context(), key(1), pod(1))
		n.pass(time.Second)
		n.release(key(1))
		<-a.done
		wantCode(n, a.err, leaseapi.CodeTryAgainLater)
		n.wantActive(0)
		n.wantState(key(1), "")
		n.pass(time.Minute)
		n.wantActive(0)
	})
}

func TestErrorTextWithoutServer(t *testing.T) {
	on(t, func(n *node) {
		n.deaf()
		_, err := n.keeper.Acquire(n.Context(), key(1), pod(1))
		wantCode(n, err, leaseapi.CodeTryAgainLater)
		for _, part := range []string{
			"no DHCPOFFER on eth1 in 10s: 2 DISCOVER sent, carrier up, 0 frames for 02:00:00:00:00:01",
			"is DHCP served on this segment",
		} {
			if !strings.Contains(err.Error(), part) {
				n.Errorf("%q lacks %q", err, part)
			}
		}
		n.set(func() { n.carrier = false })
		_, err = n.keeper.Acquire(n.Context(), key(1), pod(1))
		if !strings.Contains(err.Error(), "no carrier") {
			n.Errorf("%q does not tell that there is no carrier", err)
		}
		n.set(func() { n.mute = func(k dhcpv4.MessageType) bool { return k == request } })
		_, err = n.keeper.Acquire(n.Context(), key(1), pod(1))
		if !strings.Contains(err.Error(), "no DHCPACK") || !strings.Contains(err.Error(), "REQUEST sent") {
			n.Errorf("%q does not tell that the server offers only", err)
		}
		n.awake()
		n.set(func() { n.refuse = true })
		_, err = n.keeper.Acquire(n.Context(), key(1), pod(1))
		if !strings.Contains(err.Error(), "DHCPNAK, the last: server 10.0.0.1 refused it") {
			n.Errorf("%q does not tell that the server refuses", err)
		}
	})
}

func TestMissingUplinkEndsTheAcquisitionAtOnce(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.noUplink = true })
		before := time.Now()
		_, err := n.keeper.Acquire(n.Context(), key(1), pod(1))
		wantCode(n, err, leaseapi.CodeTryAgainLater)
		if time.Since(before) > 0 || !strings.Contains(err.Error(), wire.ErrNoLink.Error()) {
			n.Errorf("%v", err)
		}
		n.wantState(key(1), "")
	})
}

func TestBadMACIsRefused(t *testing.T) {
	on(t, func(n *node) {
		r := pod(1)
		r.MAC = "02:00"
		_, err := n.keeper.Acquire(n.Context(), key(1), r)
		wantCode(n, err, leaseapi.CodeConfig)
	})
}

// The Pod transport's socket is open for the exchange only: it keeps a
// namespace alive.
func TestPodTransport(t *testing.T) {
	on(t, func(n *node) {
		n.acquire(key(1), inPod(1))
		if n.opened() != 0 {
			n.Error("the Pod's socket is still open")
		}
		if f := n.sent(discover)[0]; f.from != "pod /ns/1 eth0" {
			n.Errorf("DISCOVER from %s", f.from)
		}
		n.set(func() { n.openErr["pod /ns/1 eth0"] = os.ErrNotExist })
		n.release(key(1))
		if f := n.sent(release)[0]; f.from != "port br0" || f.DstMAC != (wire.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}) {
			n.Errorf("RELEASE from %s to %s", f.from, f.DstMAC)
		}
		n.wantActive(0)
	})
}

func TestStoppedKeeperRefuses(t *testing.T) {
	on(t, func(n *node) {
		n.deaf()
		a := n.ask(n.Context(), key(1), pod(1))
		n.stop()
		<-a.done
		wantCode(n, a.err, leaseapi.CodeTryAgainLater)
		_, err := n.keeper.Acquire(n.Context(), key(1), pod(1))
		wantCode(n, err, leaseapi.CodeTryAgainLater)
		wantCode(n, n.keeper.Release(n.Context(), key(1)), leaseapi.CodeTryAgainLater)
	})
}

// Pending leases are judged, not before the budget has passed.
func TestPendingLeaseIsJudged(t *testing.T) {
	on(t, func(n *node) {
		n.judge(lease.Refuted)
		n.acquire(key(1), pod(1))
		n.pass(10 * time.Second)
		if len(n.questions()) != 0 {
			n.Error("asked within the budget")
		}
		n.pass(10 * time.Second)
		n.wantActive(0)
		n.wantState(key(1), "")
		n.wantFile(key(1), false)

		n.judge(lease.Wait)
		n.acquire(key(2), pod(2))
		n.pass(20 * time.Second)
		n.wantState(key(2), leaseapi.StatePending)
		n.judge(lease.Refuted)
		n.pass(20 * time.Second)
		n.wantState(key(2), "")
		n.wantActive(0)
	})
}

func TestListAndGetAskConfirm(t *testing.T) {
	on(t, func(n *node) {
		n.judge(lease.Wait)
		n.acquire(key(2), pod(2))
		n.acquire(key(1), pod(1))
		if l := n.keeper.List(); len(l) != 2 || l[0].Key != key(1) || l[0].State != leaseapi.StatePending {
			n.Errorf("%+v", l)
		}
		n.judge(lease.Confirmed)
		n.wantState(key(1), leaseapi.StateBound)
		if q := n.questions(); len(q) != 3 || q[2].Key != key(1) || !q[2].Lease.Address.IsValid() {
			n.Errorf("Confirm was asked %+v", q)
		}
		if l := n.keeper.List(); l[1].State != leaseapi.StateBound {
			n.Errorf("%+v", l)
		}
		if s := n.keeper.Segments(); len(s) != 1 || s[0].Leases != 2 || !s[0].Carrier || s[0].Uplink != "eth1" {
			n.Errorf("%+v", s)
		}
	})
}
