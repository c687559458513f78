package daemon

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/lease"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// attached is what a whole ADD leaves: a Pod on the bridge lan0, with a lease.
func (r *reconciled) attached(t *testing.T) (attachment.Record, *rtnltest.Netns) {
	t.Helper()
	there := rtnltest.New(t)
	inode, err := pod.NetnsInode(there.Path)
	must(t, err)
	address := netip.MustParsePrefix("192.0.2.7/24")
	rec := attachment.Record{
		Key: oneKey(), State: attachment.Ready, BootID: bootID, Netns: there.Path, NetnsInode: inode, Bridge: "lan0",
		HostEnd: attachment.HostEnd(oneKey(), true), MAC: "02:00:00:00:00:01", Guard: true, IPAM: "podlan-dhcp", Addrs: []netip.Prefix{address},
		Lease: &leaseapi.Request{MAC: "02:00:00:00:00:01", ClientID: []byte{1, 2}},
	}
	bridge := r.Bridge(t, "lan0")
	must(t, pod.Create(t.Context(), r.Handle, pod.Spec{HostEnd: rec.HostEnd, Netns: there.Path, IfName: rec.IfName, MAC: rec.HardwareAddr(), BridgeMTU: 1500}))
	must(t, r.teardown.Guard.Add(t.Context(), rec.GuardPort()))
	must(t, pod.Configure(t.Context(), there.Path, rec.IfName, pod.IPConfig{Addrs: []pod.Addr{{Prefix: address}}}))
	must(t, pod.Join(t.Context(), r.Handle, rec.HostEnd, bridge, rec.HardwareAddr(), pod.PortFlags{}))
	must(t, r.store.Put(rec))
	r.set(leaseapi.Lease{Key: rec.Key, State: leaseapi.StateBound, MAC: rec.MAC, ClientID: rec.Lease.ClientID, Address: address})
	return rec, there
}

func TestWhatNoDELCameForIsSettledOnceItHasLookedWrongForLongEnough(t *testing.T) {
	cases := map[string]func(t *testing.T, r *reconciled, rec attachment.Record){
		"its namespace is gone": func(t *testing.T, r *reconciled, rec attachment.Record) {
			t.Helper()
			rec.Netns = "/gone"
			must(t, r.store.Put(rec))
		},
		"its namespace is another": func(t *testing.T, r *reconciled, rec attachment.Record) {
			t.Helper()
			rec.NetnsInode++
			must(t, r.store.Put(rec))
		},
		"its host end is gone": func(t *testing.T, r *reconciled, rec attachment.Record) {
			t.Helper()
			must(t, pod.Delete(r.Handle, rec.HostEnd))
		},
	}
	for name, goes := range cases {
		t.Run(name, func(t *testing.T) {
			r := newReconciled(t)
			rec, _ := r.attached(t)
			r.once(t.Context())
			goes(t, r, rec)
			r.once(t.Context())
			if len(r.released) > 0 {
				t.Fatalf("settled at first sight\n%s", r.log.String())
			}
			r.settleAfter = 0
			r.once(t.Context())
			if r.stands(t, rec) || len(r.released) != 1 {
				t.Errorf("released %v\n%s", r.released, r.log.String())
			}
		})
	}
}

// The same Pod comes with another sandbox, and shall have the same address.
func TestAfterARebootTheRecordGoesAndTheLeaseStays(t *testing.T) {
	r := newReconciled(t)
	rec, _ := r.attached(t)
	rec.BootID = "an earlier one"
	must(t, r.store.Put(rec))
	r.once(t.Context())
	if len(r.released) > 0 || len(r.held) != 1 {
		t.Errorf("released %v", r.released)
	}
	if empty, err := r.store.Empty(); err != nil || !empty {
		t.Errorf("the record stands (%v)\n%s", err, r.log.String())
	}
}

func TestALeaseThatNoAttachmentHasIsGivenBackOnceItHasLookedSoForLongEnough(t *testing.T) {
	cases := map[string]leaseapi.Request{
		"of ours":                  {Confirm: leaseapi.ByRecord, Netns: "/proc/self/ns/net"},
		"of another main plugin's": {Confirm: leaseapi.ByAddress, Netns: "/gone"},
	}
	for name, req := range cases {
		t.Run(name, func(t *testing.T) {
			r := newReconciled(t)
			r.alone = []lease.Held{{Key: oneKey(), Request: req}}
			r.once(t.Context())
			if len(r.released) > 0 {
				t.Fatal("given back at first sight")
			}
			r.settleAfter = 0
			r.once(t.Context())
			if len(r.released) != 1 {
				t.Errorf("released %v", r.released)
			}
		})
	}
}

func TestALeaseInUseIsLeftAlone(t *testing.T) {
	r := newReconciled(t)
	rec, _ := r.attached(t)
	other := rec.Key
	other.ContainerID = "c2"
	r.alone = []lease.Held{
		{Key: rec.Key, Request: leaseapi.Request{Confirm: leaseapi.ByRecord}},
		{Key: other, Request: leaseapi.Request{Confirm: leaseapi.ByAddress, Netns: "/proc/self/ns/net"}},
	}
	r.settleAfter = 0
	r.once(t.Context())
	if len(r.released) > 0 || !r.stands(t, rec) {
		t.Errorf("released %v\n%s", r.released, r.log.String())
	}
}

func TestAnAttachmentWithoutLeaseIsClosedUntilTheServerHasGrantedItAgain(t *testing.T) {
	r := newReconciled(t)
	rec, _ := r.attached(t)
	lost := r.held[rec.Key]
	delete(r.held, rec.Key)
	r.once(t.Context())
	if r.closed(t, rec) {
		t.Fatal("closed at first sight")
	}
	r.settleAfter = 0
	r.once(t.Context())
	if !r.closed(t, rec) || r.held[rec.Key].State != leaseapi.StateLost {
		t.Fatalf("open, with the lease %v\n%s", r.held[rec.Key], r.log.String())
	}
	r.set(lost)
	r.once(t.Context())
	if r.closed(t, rec) {
		t.Errorf("closed still\n%s", r.log.String())
	}
}

func TestThePortOfASupersededSandboxIsClosed(t *testing.T) {
	r := newReconciled(t)
	rec, _ := r.attached(t)
	l := r.held[rec.Key]
	delete(r.held, rec.Key)
	l.ContainerID = "the-new-one"
	r.set(l)
	r.settleAfter = 0
	r.once(t.Context())
	if now, err := r.store.Get(rec.Key); err != nil || !strings.Contains(now.Closed, "the-new-one") || !r.closed(t, rec) {
		t.Errorf("%v: closed for %q\n%s", err, now.Closed, r.log.String())
	}
	if len(r.held) != 1 {
		t.Errorf("its lease was asked for again: %v", r.held)
	}
}

// closed tells whether the port lets nothing pass, and fails if it does half of
// it.
func (r *reconciled) closed(t *testing.T, rec attachment.Record) bool {
	t.Helper()
	now, err := r.store.Get(rec.Key)
	must(t, err)
	down := !rtnl.HasCarrier(r.Must(t, rec.HostEnd))
	unguarded := r.teardown.Guard.Check(t.Context(), rec.GuardPort()) != nil
	if down != unguarded || down != (now.Closed != "") {
		t.Errorf("half closed: link down %t, guard closed %t, reason %q", down, unguarded, now.Closed)
	}
	return down
}

func TestASandboxWithoutAProcessIsSettledOnlyWherePodlandIsToldTo(t *testing.T) {
	r := newReconciled(t)
	rec, _ := r.attached(t)
	r.settleAfter = 0
	r.once(t.Context())
	if !r.stands(t, rec) {
		t.Fatal("settled without being told to")
	}
	r.idleAfter, r.proc = time.Nanosecond, processIn(t, rec.NetnsInode)
	r.once(t.Context())
	r.once(t.Context())
	if !r.stands(t, rec) {
		t.Fatal("settled with a process in it")
	}
	r.proc = processIn(t, rec.NetnsInode+1)
	r.once(t.Context()) // seen
	r.once(t.Context())
	if r.stands(t, rec) {
		t.Errorf("it stands\n%s", r.log.String())
	}
}

// processIn is a proc(5) with one process in the namespace, and one that has
// just ended.
func processIn(t *testing.T, inode uint64) string {
	t.Helper()
	proc := t.TempDir()
	for _, pid := range []string{"1", "2", "self"} {
		must(t, os.MkdirAll(filepath.Join(proc, pid, "ns"), 0o700))
	}
	must(t, os.Symlink(fmt.Sprintf("net:[%d]", inode), filepath.Join(proc, "1", "ns", "net")))
	return proc
}

// Nothing can be said of the others then.
func TestAProcessThatMayNotBeLookedAtHindersReclaiming(t *testing.T) {
	proc := processIn(t, 7)
	must(t, os.Remove(filepath.Join(proc, "2", "ns")))
	must(t, os.Symlink("ns", filepath.Join(proc, "2", "ns"))) // a loop: an error other than "it is gone"
	if busy, err := busyNamespaces(proc); err == nil {
		t.Errorf("%v", busy)
	}
}
