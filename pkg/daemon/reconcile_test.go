package daemon

import (
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/boottime"
	"github.com/podlan/podlan/pkg/guard"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
	"github.com/podlan/podlan/pkg/tombstone"
)

// reconciled is a node in a namespace of its own, and what was logged.
type reconciled struct {
	*rtnltest.Netns
	*fakeLeases
	*reconciler
	log    strings.Builder
	events []string
}

func newReconciled(t *testing.T) *reconciled {
	t.Helper()
	r := &reconciled{Netns: rtnltest.New(t), fakeLeases: newFake()}
	stateDir := t.TempDir()
	store, err := attachment.OpenStore(stateDir)
	must(t, err)
	g := guard.New(r.Handle, attachment.LockDir(stateDir))
	t.Cleanup(g.Close)
	r.reconciler = &reconciler{
		stateDir: stateDir, bootID: bootID, store: store, leases: r.fakeLeases,
		reports:     reports{log: slog.New(slog.NewTextHandler(&r.log, nil))},
		teardown:    attachment.Teardown{Links: r.Handle, Guard: g, Legs: leg.NewNode(r.Handle, attachment.LockDir(stateDir)), Store: store},
		settleAfter: time.Hour,
	}
	count := func(event string) { r.events = append(r.events, event) }
	r.follower = &follower{
		foreign: &foreign{pods: true, log: r.reconciler.log, count: count},
		store:   store, gate: attachment.Gate(r.teardown), leases: r.fakeLeases, log: r.reconciler.log, count: count, wake: make(chan struct{}, 1),
	}
	r.carriers = &carriers{links: r.Handle, store: store, leases: r.fakeLeases, log: r.reconciler.log, count: count}
	return r
}

// intent is what an ADD leaves that was killed before its port joined.
func (r *reconciled) intent(t *testing.T, deadline time.Duration) attachment.Record {
	t.Helper()
	there := rtnltest.New(t)
	inode, err := pod.NetnsInode(there.Path)
	must(t, err)
	rec := attachment.Record{
		Key: oneKey(), State: attachment.Intent, BootID: bootID, Deadline: deadline,
		Netns: there.Path, NetnsInode: inode, HostEnd: attachment.HostEnd(oneKey(), true), MAC: "02:00:00:00:00:01", Guard: true,
	}
	must(t, r.store.Put(rec))
	must(t, pod.Create(t.Context(), r.Handle, pod.Spec{
		HostEnd: rec.HostEnd, Netns: there.Path, IfName: "eth0", MAC: rec.HardwareAddr(), BridgeMTU: 1500, Alias: "podlan:1:" + rec.Hash(),
	}))
	must(t, r.teardown.Guard.Add(t.Context(), rec.GuardPort()))
	r.held[rec.Key] = leaseapi.Lease{Key: rec.Key}
	return rec
}

// stands tells whether anything of the attachment does, and fails if some of
// it does and some not.
func (r *reconciled) stands(t *testing.T, rec attachment.Record) bool {
	t.Helper()
	_, linkErr := r.Link(rec.HostEnd)
	_, recErr := r.store.Get(rec.Key)
	link, record, lease := !errors.Is(linkErr, rtnl.ErrNotFound), !errors.Is(recErr, fs.ErrNotExist), len(r.held) > 0
	guarded := r.teardown.Guard.Check(t.Context(), rec.GuardPort()) == nil
	if link != record || record != lease || lease != guarded {
		t.Errorf("half of it stands: link %t, record %t, lease %t, guard %t\n%s", link, record, lease, guarded, r.log.String())
	}
	return link
}

func TestTombstonesAreSettledOnce(t *testing.T) {
	r := newReconciled(t)
	other := oneKey()
	other.ContainerID = "c2"
	r.held[oneKey()], r.held[other] = leaseapi.Lease{}, leaseapi.Lease{}
	must(t, tombstone.Put(r.stateDir, oneKey()))
	r.once(t.Context())
	r.once(t.Context())
	if diff := cmp.Diff([]leaseapi.Key{oneKey()}, r.released); diff != "" {
		t.Errorf("released (-want +got):\n%s", diff)
	}
	if len(r.held) != 1 {
		t.Errorf("held: %v", r.held)
	}
}

func TestATombstoneIsKeptUntilItsReleaseSucceeds(t *testing.T) {
	r := newReconciled(t)
	must(t, tombstone.Put(r.stateDir, oneKey()))
	r.fail = errors.New("the disk is full")
	r.once(t.Context())
	if !strings.Contains(r.log.String(), "the disk is full") {
		t.Errorf("the log does not say why:\n%s", r.log.String())
	}
	r.fail = nil
	r.once(t.Context())
	r.once(t.Context())
	if len(r.released) != 2 {
		t.Errorf("%d tries, want the failed one and one more", len(r.released))
	}
}

func TestAnAbandonedIntentIsTakenDown(t *testing.T) {
	r := newReconciled(t)
	rec := r.intent(t, 0)
	r.once(t.Context())
	if r.stands(t, rec) {
		t.Errorf("it stands\n%s", r.log.String())
	}
	r.once(t.Context())
	if len(r.released) != 1 {
		t.Errorf("released %d times, want once", len(r.released))
	}
}

func TestWhatIsNotAbandonedIsLeftAlone(t *testing.T) {
	cases := map[string]func(t *testing.T, r *reconciled) attachment.Record{
		"an intent in time": func(t *testing.T, r *reconciled) attachment.Record {
			t.Helper()
			return r.intent(t, boottime.Now()+time.Hour)
		},
		"a finished ADD": func(t *testing.T, r *reconciled) attachment.Record {
			t.Helper()
			rec := r.intent(t, 0)
			rec.State = attachment.Ready
			must(t, r.store.Put(rec))
			return rec
		},
		"one whose Pod has only just gone": func(t *testing.T, r *reconciled) attachment.Record {
			t.Helper()
			rec := r.intent(t, 0)
			rec.State, rec.Netns = attachment.Ready, "/gone"
			must(t, r.store.Put(rec))
			return rec
		},
	}
	for name, prepare := range cases {
		t.Run(name, func(t *testing.T) {
			r := newReconciled(t)
			rec := prepare(t, r)
			r.once(t.Context())
			if !r.stands(t, rec) {
				t.Errorf("it was taken down\n%s", r.log.String())
			}
		})
	}
}

// The verb that holds the lock is at work on the attachment: it may be an ADD
// that makes it anew.
func TestAVerbUnderWayIsNotDisturbed(t *testing.T) {
	r := newReconciled(t)
	rec := r.intent(t, 0)
	lock, err := r.store.TryLock(rec.Key)
	must(t, err)
	r.once(t.Context())
	if !r.stands(t, rec) {
		t.Error("it was taken down under the verb's hands")
	}
	lock.Release()
	r.once(t.Context())
	if r.stands(t, rec) {
		t.Errorf("it stands\n%s", r.log.String())
	}
}

// Between the listing and the lock an ADD may have taken it up anew, or a DEL
// away.
func TestWhatChangedSinceItWasListedIsLookedAtAnew(t *testing.T) {
	r := newReconciled(t)
	rec := r.intent(t, boottime.Now()+time.Hour)
	was := rec
	was.State = attachment.Ready
	r.settle(t.Context(), was, "a test")
	if !r.stands(t, rec) {
		t.Error("a new ADD's was taken down")
	}
	gone := rec
	gone.ContainerID = "c2"
	r.settle(t.Context(), gone, "a test")
	if len(r.released) != 0 || strings.Contains(r.log.String(), "level=ERROR") {
		t.Errorf("released %v\n%s", r.released, r.log.String())
	}
}

func TestALeaseThatIsNotGivenBackIsLoggedAndLeftToItsKeeper(t *testing.T) {
	r := newReconciled(t)
	r.intent(t, 0)
	r.fail = errors.New("podland is shutting down")
	r.once(t.Context())
	if !strings.Contains(r.log.String(), "podland is shutting down") || !strings.Contains(r.log.String(), oneKey().String()) {
		t.Errorf("the log does not say what failed:\n%s", r.log.String())
	}
}

func TestWhatIsNotThereAnyMoreIsNotReportedOn(t *testing.T) {
	var log strings.Builder
	r := reports{log: slog.New(slog.NewTextHandler(&log, nil))}
	for range 2 { // told once
		r.report("port", errors.New("no bridge"))
		r.turn()
	}
	r.turn()
	r.report("port", errors.New("no bridge"))
	if n := strings.Count(log.String(), "no bridge"); n != 2 || len(r.told) != 1 {
		t.Errorf("told %d times, remembered: %v", n, r.told)
	}
	r.turn()
	r.turn()
	if len(r.told) != 0 {
		t.Errorf("remembered: %v", r.told)
	}
}
