package lease_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/lease"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// node is a keeper, its folder and its LAN, in a bubble of virtual time.
type node struct {
	*testing.T
	*lan
	keeper *lease.Keeper
	dir    string
	bootID string
	booted time.Time
	slept  atomic.Int64 // the boot-time clock has run on by so much, and no timer
	step   atomic.Int64 // the wall clock was set by so much

	mu      sync.Mutex
	verdict lease.Verdict
	asked   []lease.Held
	changes []leaseapi.Lease

	stop func()
}

// on runs a test on a node whose keeper runs.
func on(t *testing.T, test func(n *node)) {
	t.Helper()
	dir := filepath.Join(memory(t), "leases")
	synctest.Test(t, func(t *testing.T) {
		n := &node{T: t, lan: newLAN(t), dir: dir, bootID: "boot-1", booted: time.Now().Add(-1000 * time.Hour), verdict: lease.Confirmed}
		n.start()
		test(n)
		n.stop()
	})
}

// memory is a folder that goes with the test, in memory if there is one: what a
// flush costs is not what is tested.
func memory(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "podlan-lease") //nolint:usetesting // see above
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return dir
}

func (n *node) config() lease.Config {
	booted := n.booted
	return lease.Config{
		Dir: n.dir, Wire: n.lan, BootID: n.bootID,
		Now:  func() time.Duration { return time.Since(booted) + time.Duration(n.slept.Load()) },
		Wall: func() time.Time { return time.Now().Add(time.Duration(n.step.Load())) },
		Confirm: func(h lease.Held) lease.Verdict {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.asked = append(n.asked, h)
			return n.verdict
		},
		Changed: func(l leaseapi.Lease) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.changes = append(n.changes, l)
		},
	}
}

// start starts a keeper on the folder; stop ends it as SIGTERM does.
func (n *node) start() {
	n.Helper()
	n.startWith(n.config())
}

func (n *node) startWith(cfg lease.Config) {
	n.Helper()
	k, err := lease.New(cfg)
	if err != nil {
		n.Fatalf("new keeper: %v", err)
	}
	n.keeper = k
	ctx, cancel := context.WithCancel(n.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	n.stop = func() {
		n.Helper()
		cancel()
		if err := <-ended; err != nil {
			n.Errorf("run: %v", err)
		}
		synctest.Wait()
		if open := n.opened(); open != 0 {
			n.Errorf("%d sockets are open after the keeper's end", open)
		}
		n.wantListening(0)
		n.stop = func() {}
	}
	synctest.Wait()
}

// pass lets virtual time go by.
func (n *node) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (n *node) judge(v lease.Verdict) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.verdict = v
}

func (n *node) questions() []lease.Held {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]lease.Held(nil), n.asked...)
}

func (n *node) changed() []leaseapi.Lease {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]leaseapi.Lease(nil), n.changes...)
}

// key is sandbox number i's, pod the request of Pod number i with 10 s.
func key(i int) leaseapi.Key {
	return leaseapi.Key{Network: "lan", ContainerID: fmt.Sprintf("c%d", i), IfName: "eth0"}
}

func pod(i int) leaseapi.Request {
	return leaseapi.Request{
		ClientID: leaseapi.HexBytes{0xff, 0, 0, byte(i >> 8), byte(i)}, MAC: fmt.Sprintf("02:00:00:00:%02x:%02x", byte(i>>8), byte(i)),
		Transport: leaseapi.FromUplink, Uplink: "eth1", Bridge: "br0", Confirm: leaseapi.ByRecord, BudgetMS: 10_000,
	}
}

// inPod is pod by the Pod's own interface.
func inPod(i int) leaseapi.Request {
	r := pod(i)
	r.Transport, r.Uplink, r.Netns = leaseapi.FromPod, "", fmt.Sprintf("/ns/%d", i)
	return r
}

// acquire gets a lease or ends the test.
func (n *node) acquire(k leaseapi.Key, r leaseapi.Request) leaseapi.Lease {
	n.Helper()
	l, err := n.keeper.Acquire(n.Context(), k, r)
	if err != nil {
		n.Fatalf("acquire %s: %v", k, err)
	}
	return l
}

// hold gets a lease that is confirmed.
func (n *node) hold(k leaseapi.Key, r leaseapi.Request) leaseapi.Lease {
	n.Helper()
	n.acquire(k, r)
	l, ok := n.keeper.Get(k)
	if !ok || l.State != leaseapi.StateBound {
		n.Fatalf("%s is %+v, bound wanted", k, l)
	}
	return l
}

func (n *node) release(k leaseapi.Key) {
	n.Helper()
	if err := n.keeper.Release(n.Context(), k); err != nil {
		n.Errorf("release %s: %v", k, err)
	}
}

// state is the lease's, "" if there is none.
func (n *node) state(k leaseapi.Key) leaseapi.State {
	l, _ := n.keeper.Get(k)
	return l.State
}

func (n *node) wantState(k leaseapi.Key, want leaseapi.State) {
	n.Helper()
	if got := n.state(k); got != want {
		n.Errorf("%s is %q, %q wanted", k, got, want)
	}
}

// wantSent checks how many of the kind were sent so far, without the repeats of
// a RELEASE.
func (n *node) wantSent(kind dhcp4.Type, want int) {
	n.Helper()
	all := n.sent(kind)
	got := len(all)
	if kind == release {
		distinct := map[[4]byte]bool{}
		for _, f := range all {
			distinct[f.msg.TransactionID] = true
		}
		got = len(distinct)
	}
	if got != want {
		n.Errorf("%d %s sent, %d wanted", got, kind, want)
	}
}

// wantActive checks how many leases the server has granted and not got back.
func (n *node) wantActive(want int) {
	n.Helper()
	if got := n.active(); got != want {
		n.Errorf("the server holds %d leases to be granted, %d wanted", got, want)
	}
}

func (n *node) file(k leaseapi.Key) string { return filepath.Join(n.dir, k.Hash()+".json") }

// wantFile checks whether the key has a file once the disk is at rest. One that
// only has the server told is none.
func (n *node) wantFile(k leaseapi.Key, want bool) {
	n.Helper()
	data := n.read(k)
	if got := data != "" && !strings.Contains(data, `"void": true`); got != want {
		n.Errorf("the file of %s: %q, there: %t wanted", k, data, want)
	}
}

// read returns what is in the key's file once the disk is at rest; "" if there
// is none.
func (n *node) read(k leaseapi.Key) string {
	n.Helper()
	synctest.Wait()
	data, err := os.ReadFile(n.file(k))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.Error(err)
	}
	return string(data)
}

// wantNoFiles checks that nothing is left on the disk.
func (n *node) wantNoFiles() {
	n.Helper()
	synctest.Wait()
	if left, _ := filepath.Glob(filepath.Join(n.dir, "*.json")); len(left) > 0 {
		n.Errorf("left: %q", left)
	}
	if asked, _ := os.ReadFile(filepath.Join(n.dir, "asked.log")); len(asked) > 0 {
		n.Errorf("asked for still: %s", asked)
	}
}

// wantCode checks an error's code.
func wantCode(tb testing.TB, err error, want leaseapi.Code) {
	tb.Helper()
	var e *leaseapi.Error
	if !errors.As(err, &e) || e.Code != want {
		tb.Errorf("error %v, code %d wanted", err, want)
	}
}

// waiting is an Acquire under way.
type waiting struct {
	lease leaseapi.Lease
	err   error
	done  chan struct{}
}

// ask begins an Acquire and returns once it is waiting.
func (n *node) ask(ctx context.Context, k leaseapi.Key, r leaseapi.Request) *waiting {
	a := &waiting{done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.lease, a.err = n.keeper.Acquire(ctx, k, r)
	}()
	synctest.Wait()
	return a
}
