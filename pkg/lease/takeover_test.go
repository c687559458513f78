package lease_test

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/podlan/podlan/pkg/lease"
	"github.com/podlan/podlan/pkg/leaseapi"
)

func TestRetriedSandboxTakesTheLeaseOver(t *testing.T) {
	on(t, func(n *node) {
		first := n.acquire(key(1), pod(1))
		second := n.acquire(key(2), pod(1))
		if second.Address != first.Address || second.Key != key(2) {
			n.Errorf("%+v, then %+v", first, second)
		}
		n.wantSent(discover, 1)
		n.release(key(1)) // the old sandbox's DEL
		n.wantSent(release, 0)
		n.wantState(key(1), "")
		n.wantState(key(2), leaseapi.StateBound)
		n.wantFile(key(1), false)
		n.wantFile(key(2), true)
		n.release(key(2))
		n.wantActive(0)
		n.wantFile(key(2), false)
	})
}

func TestAcquisitionIsTakenOver(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.delay = time.Second })
		first := n.ask(n.Context(), key(1), pod(1))
		second := n.ask(n.Context(), key(2), pod(1))
		<-first.done
		wantCode(n, first.err, leaseapi.CodeTryAgainLater)
		<-second.done
		if second.err != nil {
			n.Error(second.err)
		}
		n.wantSent(discover, 1)
		n.wantFile(key(1), false)
		n.wantFile(key(2), true)
	})
}

// The old sandbox's file is gone also if it was on its way when the new one
// came.
func TestTakeOverWhileStoring(t *testing.T) {
	on(t, func(n *node) {
		a := n.ask(n.Context(), key(1), pod(1))
		go n.keeper.Acquire(n.Context(), key(2), pod(1)) //nolint:errcheck // asked below
		time.Sleep(2 * time.Millisecond)
		<-a.done
		n.acquire(key(3), pod(1))
		synctest.Wait()
		n.wantFile(key(1), false)
		n.wantFile(key(2), false)
		n.wantFile(key(3), true)
		n.wantActive(1)
	})
}

// Another namespace: the exchange goes on from there, and the old one's socket
// is closed.
func TestTakeOverWithAnotherTransport(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.delay = time.Second })
		way := func(i int) leaseapi.Request {
			r := inPod(i)
			r.ClientID, r.MAC = pod(1).ClientID, pod(1).MAC
			return r
		}
		n.ask(n.Context(), key(1), way(1))
		n.ask(n.Context(), key(2), way(2))
		n.set(func() {
			if n.open["pod /ns/1 eth0"] != 0 || n.open["pod /ns/2 eth0"] != 1 {
				n.Errorf("open: %v", n.open)
			}
		})
		third := n.ask(n.Context(), key(3), pod(1))
		<-third.done
		if third.err != nil {
			n.Fatal(third.err)
		}
		n.pass(2 * time.Second)
		if n.opened() != 0 {
			n.Error("sockets stay open")
		}
		n.release(key(3))
		n.wantActive(0)
		// The window has lost no place by all that.
		for i := range 40 {
			n.acquire(key(10+i), pod(10+i))
		}
	})
}

// Many entries change segments while they wait in the queue of a full one.
func TestTakeOverInTheQueue(t *testing.T) {
	on(t, func(n *node) {
		n.deaf()
		var all []*waiting
		for i := range 40 {
			r := pod(i)
			r.Uplink = "eth9"
			n.ask(n.Context(), key(i), r)
		}
		for i := range 40 {
			all = append(all, n.ask(n.Context(), key(i), pod(i)))
		}
		n.awake()
		for _, a := range all {
			<-a.done
			if a.err != nil {
				n.Error(a.err)
			}
		}
		n.wantActive(40)
	})
}

// A release that waits for its turn is called off by the next ADD.
func TestTakeOverOfAQueuedRelease(t *testing.T) {
	on(t, func(n *node) {
		const crowd = 60 // beyond what may be released at once
		for i := range crowd {
			n.hold(key(i), pod(i))
		}
		n.pass(time.Minute)
		var ended []chan struct{}
		for i := range crowd {
			done := make(chan struct{})
			ended = append(ended, done)
			go func() { defer close(done); n.release(key(i)) }()
		}
		synctest.Wait()
		before := len(n.sent(release))
		if before >= crowd {
			n.Fatalf("no release waits")
		}
		var taken []leaseapi.Key
		for i := crowd - 1; i >= 0; i-- {
			k := key(100 + i)
			n.acquire(k, pod(i))
			taken = append(taken, k)
		}
		for _, done := range ended {
			<-done
		}
		n.pass(10 * time.Minute)
		n.wantActive(crowd)
		if got := len(n.sent(release)); got >= crowd {
			n.Errorf("%d RELEASE sent", got)
		}
		for _, k := range taken {
			n.wantState(k, leaseapi.StateBound)
		}
		n.pass(2 * time.Hour) // and they are renewed
		n.wantActive(crowd)
		for _, k := range taken {
			n.wantState(k, leaseapi.StateBound)
		}
	})
}

// The same attachment as another client: the first one's lease goes first.
func TestKeyBecomesAnotherClient(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		l := n.acquire(key(1), pod(2))
		if l.MAC != pod(2).MAC {
			n.Errorf("%+v", l)
		}
		n.wantSent(release, 1)
		n.wantActive(1)
		n.wantFile(key(1), true)

		n.set(func() { n.sendErr = os.ErrPermission })
		_, err := n.keeper.Acquire(n.Context(), key(1), pod(3))
		wantCode(n, err, leaseapi.CodeTryAgainLater)
		if !strings.Contains(err.Error(), "cannot be given back") {
			n.Error(err)
		}
	})
}

// A former key's file, erased late, must not take a new owner's with it.
func TestFormerKeyIsUsedAnew(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		a := n.ask(n.Context(), key(2), pod(1))
		b := n.ask(n.Context(), key(1), pod(9))
		<-a.done
		<-b.done
		if a.err != nil || b.err != nil {
			n.Fatal(a.err, b.err)
		}
		synctest.Wait()
		n.wantFile(key(1), true)
		n.wantFile(key(2), true)
		n.release(key(2))
		n.wantFile(key(1), true)
	})
}

// A verdict about a former ADD says nothing of the next one of the same key.
func TestVerdictOfAFormerADD(t *testing.T) {
	on(t, func(n *node) {
		n.stop()
		slow := make(chan struct{})
		asking := make(chan struct{}, 10)
		cfg := n.config()
		cfg.Confirm = func(lease.Held) lease.Verdict {
			asking <- struct{}{}
			<-slow
			return lease.Refuted
		}
		n.startWith(cfg)
		n.acquire(key(1), pod(1))
		<-asking
		n.acquire(key(1), pod(1))
		close(slow)
		synctest.Wait()
		n.wantSent(release, 0)
		n.wantActive(1)
	})
}
