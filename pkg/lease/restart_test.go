package lease_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/lease"
	"github.com/podlan/podlan/pkg/leaseapi"
)

func TestRestartSendsNothingAndKeepsDeadlines(t *testing.T) {
	on(t, func(n *node) {
		first := n.hold(key(1), pod(1))
		n.pass(5 * time.Minute)
		n.stop()
		before := len(n.sent())
		n.pass(5 * time.Minute)
		n.start()
		n.pass(5 * time.Minute)
		if got := len(n.sent()); got != before {
			n.Errorf("%d packets after the restart", got-before)
		}
		l, _ := n.keeper.Get(key(1))
		if l.State != leaseapi.StateBound || l.Address != first.Address || !l.RenewAt.Equal(first.RenewAt) || !l.ExpiresAt.Equal(first.ExpiresAt) {
			n.Errorf("%+v, before %+v", l, first)
		}
		n.pass(20 * time.Minute)
		n.wantSent(request, 2)
	})
}

func TestRenewalThatFellDueMeanwhile(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		n.stop()
		n.pass(40 * time.Minute)
		n.start()
		n.pass(time.Second)
		n.wantSent(request, 2)
		n.wantSent(discover, 1)
		n.wantState(key(1), leaseapi.StateBound)
	})
}

func TestLeaseThatRanOutMeanwhile(t *testing.T) {
	on(t, func(n *node) {
		first := n.hold(key(1), pod(1))
		n.stop()
		n.pass(2 * time.Hour)
		n.start()
		n.pass(10 * time.Second)
		n.wantState(key(1), leaseapi.StateBound)
		if c := n.changed(); len(c) != 2 || c[0].State != leaseapi.StateLost || c[1].State != leaseapi.StateBound || c[1].Address != first.Address {
			n.Errorf("changed: %+v", c)
		}
	})
}

// What a server took back is not asked for on behalf of a Pod that is gone.
func TestLostLeaseOfNobodyIsForgotten(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1)) // lost before the restart
		n.deaf()
		n.pass(2 * time.Hour)
		n.awake()
		n.hold(key(2), pod(2)) // lost by it
		n.stop()
		n.set(func() { clear(n.leases) })
		n.pass(2 * time.Hour)
		before := len(n.sent())
		n.bootID, n.booted = "boot-2", time.Now()
		n.judge(lease.Wait)
		n.start()
		n.pass(time.Minute)
		n.judge(lease.Refuted)
		n.pass(time.Minute)
		if got := len(n.sent()); got != before {
			n.Errorf("%d packets for nobody", got-before)
		}
		for i := 1; i < 3; i++ {
			n.wantState(key(i), "")
			n.wantFile(key(i), false)
		}
	})
}

// A lost lease stays one, and its Pod's address is asked for again, no other.
func TestLostLeaseAcrossARestart(t *testing.T) {
	on(t, func(n *node) {
		first := n.hold(key(1), pod(1))
		n.set(func() { n.refuse = true })
		n.pass(40 * time.Minute)
		n.stop()
		n.start()
		l, _ := n.keeper.Get(key(1))
		if l.State != leaseapi.StateLost || !strings.Contains(l.Reason, "NAK") || l.Address != first.Address || l.ExpiresAt != n.changed()[0].ExpiresAt {
			n.Errorf("%+v", l)
		}
		n.set(func() { n.refuse = false })
		n.pass(2 * time.Minute)
		n.wantState(key(1), leaseapi.StateBound)
	})
}

func TestTwoKeepersOnOneFolder(t *testing.T) {
	on(t, func(n *node) {
		if _, err := lease.New(n.config()); !errors.Is(err, lease.ErrInUse) {
			n.Errorf("%v", err)
		}
	})
}

func TestBadFilesAreSetAside(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		n.hold(key(2), pod(2))
		n.stop()
		whole, err := os.ReadFile(n.file(key(2)))
		if err != nil {
			n.Fatal(err)
		}
		for i, data := range [][]byte{
			whole[:len(whole)/2], // truncated
			nil,
			[]byte(`{"version":1}`),
			[]byte(strings.Replace(string(whole), `"version": 1`, `"version": 0`, 1)),
			whole, // under another's name
		} {
			if err := os.WriteFile(n.file(key(10+i)), data, 0o600); err != nil {
				n.Fatal(err)
			}
		}
		n.start()
		if l := n.keeper.List(); len(l) != 2 {
			n.Errorf("%+v", l)
		}
		aside, _ := filepath.Glob(filepath.Join(n.dir, "*.corrupt"))
		if len(aside) != 5 {
			n.Errorf("set aside: %q", aside)
		}
	})
}

// A folder that cannot be read now may be full of good leases.
func TestWhatCannotBeReadIsNotForgotten(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		n.stop()
		err := withOneDescriptor(n, func() error { // for the lock
			_, err := lease.New(n.config())
			return err
		})
		if !errors.Is(err, unix.EMFILE) {
			n.Errorf("%v", err)
		}
		n.start()
		n.wantState(key(1), leaseapi.StateBound)
	})
}

// withOneDescriptor leaves the process one descriptor more than it has.
func withOneDescriptor(tb testing.TB, f func() error) error {
	tb.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		tb.Fatal(err)
	}
	var fds []int
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			tb.Error(err)
		}
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}()
	for {
		fd, err := unix.Open("/dev/null", unix.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		fds = append(fds, fd)
		low := unix.Rlimit{Cur: uint64(fds[0] + 20), Max: limit.Max}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
			tb.Fatal(err)
		}
	}
	_ = unix.Close(fds[len(fds)-1])
	fds = fds[:len(fds)-1]
	return f()
}

func TestNewerFilesAreRefusedAndStay(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		n.stop()
		newer := []byte(`{"version":2,"lease":"of another shape"}`)
		if err := os.WriteFile(n.file(key(2)), newer, 0o600); err != nil {
			n.Fatal(err)
		}
		if _, err := lease.New(n.config()); err == nil || !strings.Contains(err.Error(), "newer") {
			n.Errorf("%v", err)
		}
		n.wantFile(key(1), true)
		n.wantFile(key(2), true)
		if err := os.Remove(n.file(key(2))); err != nil {
			n.Fatal(err)
		}
		n.start() // the lock was let go of
		n.wantState(key(1), leaseapi.StateBound)
	})
}

// A kill between taking over and forgetting leaves two files of one client: the
// later owner has it.
func TestTwoFilesOfOneClient(t *testing.T) {
	for _, order := range [][2]int{{1, 2}, {2, 1}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			on(t, func(n *node) {
				n.hold(key(order[0]), pod(1))
				old, err := os.ReadFile(n.file(key(order[0])))
				if err != nil {
					n.Fatal(err)
				}
				n.pass(time.Second)
				n.hold(key(order[1]), pod(1))
				n.stop()
				if err := os.WriteFile(n.file(key(order[0])), old, 0o600); err != nil {
					n.Fatal(err)
				}
				n.start()
				n.wantState(key(order[0]), "")
				n.wantState(key(order[1]), leaseapi.StateBound)
				n.wantFile(key(order[0]), false)
				n.wantFile(key(order[1]), true)
			})
		})
	}
}

func TestAcquireAfterRestartNeedsNoPacket(t *testing.T) {
	on(t, func(n *node) {
		first := n.hold(key(1), pod(1))
		n.stop()
		n.start()
		if l := n.acquire(key(2), pod(1)); l.Address != first.Address {
			n.Errorf("%+v", l)
		}
		n.wantSent(discover, 1)
		n.wantFile(key(1), false)
	})
}

// A keeper that ends while leases are being stored ends.
func TestStopWhileStoring(t *testing.T) {
	for range 20 {
		on(t, func(n *node) {
			ctx, cancel := context.WithCancel(n.Context())
			defer cancel()
			var all []*waiting
			for i := range 50 {
				a := &waiting{done: make(chan struct{})}
				all = append(all, a)
				go func() {
					defer close(a.done)
					a.lease, a.err = n.keeper.Acquire(ctx, key(i), pod(i))
				}()
			}
			time.Sleep(4 * time.Millisecond)
			n.stop()
			for i, a := range all {
				<-a.done
				if a.err == nil {
					n.wantFile(key(i), true)
				}
			}
			synctest.Wait()
		})
	}
}
