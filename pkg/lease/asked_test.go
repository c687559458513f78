package lease_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// kill ends the keeper as SIGKILL does: what its end writes or removes has not
// happened.
func (n *node) kill() {
	n.Helper()
	synctest.Wait()
	was, err := filepath.Glob(filepath.Join(n.dir, "*.[jl]*"))
	if err != nil {
		n.Fatal(err)
	}
	files := map[string][]byte{}
	for _, file := range was {
		if files[file], err = os.ReadFile(file); err != nil {
			n.Fatal(err)
		}
	}
	n.stop()
	now, _ := filepath.Glob(filepath.Join(n.dir, "*.[jl]*"))
	for _, file := range now {
		if err := os.Remove(file); err != nil {
			n.Fatal(err)
		}
	}
	for file, data := range files {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			n.Fatal(err)
		}
	}
}

// askAndDie has podland killed when the server has granted and before the ACK
// is there.
func (n *node) askAndDie(k leaseapi.Key, r leaseapi.Request) {
	n.Helper()
	n.set(func() { n.slow[request] = time.Second })
	a := n.ask(n.Context(), k, r)
	n.pass(100 * time.Millisecond)
	n.wantSent(request, 1)
	n.wantActive(1)
	n.kill()
	if <-a.done; a.err == nil {
		n.Errorf("%+v", a.lease)
	}
	n.set(func() { clear(n.slow) })
}

func TestWhatWasAskedForAtAKillIsGivenBack(t *testing.T) {
	for _, r := range []leaseapi.Request{pod(1), inPod(1)} {
		t.Run(string(r.Transport), func(t *testing.T) {
			on(t, func(n *node) {
				n.askAndDie(key(1), r)
				n.start()
				n.wantState(key(1), "")
				n.pass(time.Second)
				n.wantSent(release, 1)
				n.wantActive(0)
				n.pass(10 * time.Second)
				n.wantNoFiles()
			})
		})
	}
}

// Nobody knows whether it was granted: a new ADD asks anew, and gives back what
// was asked for if it fails.
func TestWhatWasAskedForAtAKillIsNotUsed(t *testing.T) {
	for _, k := range []leaseapi.Key{key(1), key(2)} {
		on(t, func(n *node) {
			n.askAndDie(key(1), pod(1))
			n.set(func() { n.sendErr = unix.ENETDOWN })
			n.start()
			n.set(func() { n.sendErr = nil })
			n.hold(k, pod(1))
			n.wantSent(discover, 2)
			n.pass(5 * time.Minute)
			n.wantSent(release, 0)
			n.wantState(k, leaseapi.StateBound)
			n.wantActive(1)
		})
		on(t, func(n *node) {
			n.askAndDie(key(1), pod(1))
			n.set(func() { n.sendErr = unix.ENETDOWN })
			n.start()
			n.set(func() {
				n.sendErr = nil
				n.mute = func(kind dhcpv4.MessageType) bool { return kind == discover }
			})
			_, err := n.keeper.Acquire(n.Context(), k, pod(1))
			wantCode(n, err, leaseapi.CodeTryAgainLater)
			n.pass(10 * time.Second)
			n.wantActive(0)
			n.wantNoFiles()
		})
	}
}

// An acquisition that fails, or takes another address, leaves no file.
func TestWhatWasAskedForInVainIsForgotten(t *testing.T) {
	on(t, func(n *node) {
		n.set(func() { n.refuse = true })
		_, err := n.keeper.Acquire(n.Context(), key(1), pod(1))
		wantCode(n, err, leaseapi.CodeTryAgainLater)
		n.pass(10 * time.Second)
		n.wantNoFiles()
	})
}

// A file that cannot be written keeps no REQUEST back: the lease's own will tell.
func TestTheREQUESTGoesOutWhereItsFileCannotBeWritten(t *testing.T) {
	on(t, func(n *node) {
		n.block(key(1))
		_, err := n.keeper.Acquire(n.Context(), key(1), pod(1))
		wantCode(n, err, leaseapi.CodeIO)
		n.wantSent(request, 1)
		n.pass(time.Second)
		n.wantActive(0)
	})
}

// block puts what can be neither replaced nor removed in the place of a file.
func (n *node) block(k leaseapi.Key) (free func()) {
	n.Helper()
	_ = os.Remove(n.file(k))
	inner := filepath.Join(n.file(k), "inner")
	if err := os.MkdirAll(inner, 0o700); err != nil {
		n.Fatal(err)
	}
	return func() {
		if err := os.Remove(inner); err != nil {
			n.Error(err)
		}
	}
}

func TestAFileThatCannotBeRemovedIsTriedAgain(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		free := n.block(key(1))
		n.release(key(1))
		n.pass(5 * time.Minute)
		n.wantState(key(1), "")
		free()
		n.pass(time.Minute)
		n.wantNoFiles()
	})
}

// What has a new owner meanwhile is not removed.
func TestAFileThatCouldNotBeRemovedAndIsAnothersStays(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		free := n.block(key(1))
		n.release(key(1))
		n.pass(10 * time.Second)
		free()
		if err := os.Remove(n.file(key(1))); err != nil {
			n.Fatal(err)
		}
		n.hold(key(1), pod(2))
		n.pass(5 * time.Minute)
		n.wantFile(key(1), true)
	})
}

// The first RELEASE was lost; podland dies before the second.
func TestAReleaseIsRepeatedAcrossAKill(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		n.set(func() { n.mute = func(kind dhcpv4.MessageType) bool { return kind == release } })
		n.release(key(1))
		n.wantActive(1)
		n.kill()
		n.awake()
		n.start()
		n.wantState(key(1), "")
		n.pass(time.Second)
		n.wantActive(0)
		n.pass(10 * time.Second)
		n.wantNoFiles()
	})
}

// Who begins anew meanwhile is not released by what is left of before, before a
// kill or after.
func TestALeaseIsNotGivenBackByTheRepeatsOfTheLast(t *testing.T) {
	for _, k := range []leaseapi.Key{key(1), key(2)} {
		for _, killed := range []bool{false, true} {
			on(t, func(n *node) {
				n.hold(key(1), pod(1))
				n.release(key(1))
				n.pass(100 * time.Millisecond)
				n.hold(k, pod(1))
				if killed {
					n.kill()
					n.start()
				}
				n.pass(time.Minute)
				n.wantSent(release, 1)
				n.wantState(k, leaseapi.StateBound)
				n.wantActive(1)
				if k != key(1) && n.read(key(1)) != "" {
					n.Error("the former file is left")
				}
				n.wantFile(k, true)
			})
		}
	}
}

// What has been released once may be another's by now: a new ADD asks anew.
func TestAReleasedLeaseIsNotUsedAfterAKill(t *testing.T) {
	on(t, func(n *node) {
		n.hold(key(1), pod(1))
		n.release(key(1))
		n.kill()
		n.set(func() { n.sendErr = unix.ENETDOWN })
		n.start()
		n.set(func() { n.sendErr = nil })
		n.hold(key(2), pod(1))
		n.wantSent(discover, 2)
		n.pass(5 * time.Minute)
		n.wantSent(release, 1)
		n.wantActive(1)
	})
}
