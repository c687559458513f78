package attachment_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/guard"
	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
	"github.com/podlan/podlan/pkg/segment"
)

// node is a namespace with a state folder, and what takes attachments down.
type node struct {
	*rtnltest.Netns
	stateDir string
	attachment.Teardown
}

func newNode(t *testing.T) node {
	t.Helper()
	n := node{Netns: rtnltest.New(t), stateDir: t.TempDir()}
	store, err := attachment.OpenStore(n.stateDir)
	must(t, err)
	g := guard.New(n.Handle, attachment.LockDir(n.stateDir))
	t.Cleanup(g.Close)
	n.Teardown = attachment.Teardown{Links: n.Handle, Guard: g, Legs: leg.NewNode(n.Handle, attachment.LockDir(n.stateDir)), Store: store}
	return n
}

// attach does what an ADD does of the node's side.
func (n node) attach(t *testing.T, id, bridge string) attachment.Record {
	t.Helper()
	there := rtnltest.New(t)
	seg, err := segment.Ensure(t.Context(), n.Links, segment.Spec{Bridge: bridge}, segment.Place{Bridge: bridge})
	must(t, err)
	key := attachment.Key{Network: "lan", ContainerID: id, IfName: "eth0"}
	mac := net.HardwareAddr{2, 0, 0, 0, 0, id[len(id)-1]}
	inode, err := pod.NetnsInode(there.Path)
	must(t, err)
	rec := attachment.Record{
		Key: key, State: attachment.Ready, Netns: there.Path, NetnsInode: inode, Bridge: bridge,
		HostEnd: attachment.HostEnd(key, true), MAC: mac.String(), Guard: true, IPAM: "static",
		Addrs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, id[len(id)-1]}), 24)},
	}
	must(t, n.Store.Put(rec))
	must(t, pod.Create(t.Context(), n.Links, pod.Spec{
		HostEnd: rec.HostEnd, Netns: there.Path, IfName: "eth0", MAC: mac, BridgeMTU: seg.MTU, Alias: "podlan:1:" + key.Hash(),
	}))
	must(t, n.Guard.Add(t.Context(), rec.GuardPort()))
	must(t, pod.Join(t.Context(), n.Links, rec.HostEnd, seg.Index, mac, pod.PortFlags{}))
	return rec
}

func TestAnAttachmentIsTakenDownOnceAndAgain(t *testing.T) {
	n := newNode(t)
	rec := n.attach(t, "c1", "pods0")
	for round := range 3 {
		must(t, n.CloseUp(rec))
		must(t, n.Remove(t.Context(), rec))
		n.empty(t, fmt.Sprintf("after %d", round+1), rec)
	}
}

func TestWhatOthersRemovedIsNoErrorToTakeDown(t *testing.T) {
	cases := map[string]func(t *testing.T, n node, rec attachment.Record){
		"the port":   func(t *testing.T, n node, rec attachment.Record) { t.Helper(); must(t, n.Delete(rec.HostEnd)) },
		"the bridge": func(t *testing.T, n node, rec attachment.Record) { t.Helper(); must(t, n.Delete(rec.Bridge)) },
		"the record": func(t *testing.T, n node, rec attachment.Record) { t.Helper(); must(t, n.Store.Delete(rec.Key)) },
		"the guard": func(t *testing.T, n node, _ attachment.Record) {
			t.Helper()
			must(t, n.Guard.Uninstall(t.Context(), func() (bool, error) { return true, nil }))
		},
	}
	for name, remove := range cases {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			rec := n.attach(t, "c1", "pods0")
			remove(t, n, rec)
			must(t, n.CloseUp(rec))
			must(t, n.Remove(t.Context(), rec))
			n.empty(t, "after", rec)
		})
	}
}

// What a DEL knows that comes before its ADD, or after a DEL: the name of the
// host end.
func TestARecordOfNothingButTheKeyIsTakenDown(t *testing.T) {
	n := newNode(t)
	key := attachment.Key{Network: "lan", ContainerID: "c1", IfName: "eth0"}
	must(t, n.Remove(t.Context(), attachment.Record{Key: key, HostEnd: attachment.HostEnd(key, true), Guard: true, IPAM: "static"}))
	must(t, n.CloseUp(attachment.Record{Key: key, HostEnd: attachment.HostEnd(key, true)}))
}

func TestTheBridgeGoesWithItsLastAttachment(t *testing.T) {
	n := newNode(t)
	one, two := n.attach(t, "c1", "pods0"), n.attach(t, "c2", "pods0")
	must(t, n.Remove(t.Context(), one))
	n.Must(t, "pods0")
	if err := n.Guard.Check(t.Context(), two.GuardPort()); err != nil {
		t.Errorf("the other's guard: %v", err)
	}
	must(t, n.Remove(t.Context(), two))
	n.empty(t, "after the last", two)
}

func TestABridgeThatOthersMadeStays(t *testing.T) {
	n := newNode(t)
	n.Bridge(t, "br0")
	rec := n.attach(t, "c1", "br0")
	must(t, n.Remove(t.Context(), rec))
	n.Must(t, "br0")
}

// Each of two that end at once used to take the other for one that stays, and
// the bridge was nobody's to remove.
func TestTheBridgeGoesWhenItsLastAttachmentsEndAtOnce(t *testing.T) {
	n := newNode(t)
	for range 50 {
		_, err := segment.Ensure(t.Context(), n.Links, segment.Spec{Bridge: "pods0"}, segment.Place{Bridge: "pods0"})
		must(t, err)
		var all sync.WaitGroup
		begin := make(chan struct{})
		for _, id := range []string{"c1", "c2", "c3", "c4"} {
			key := attachment.Key{Network: "lan", ContainerID: id, IfName: "eth0"}
			rec := attachment.Record{Key: key, HostEnd: attachment.HostEnd(key, true), Bridge: "pods0"}
			must(t, n.Store.Put(rec))
			all.Go(func() {
				<-begin
				if err := n.Remove(t.Context(), rec); err != nil {
					t.Error(err)
				}
			})
		}
		close(begin)
		all.Wait()
		if _, err := n.Link("pods0"); !errors.Is(err, rtnl.ErrNotFound) {
			t.Fatalf("the bridge: %v; want it gone", err)
		}
	}
}

func TestABridgeOfWhichANewerPodlanMayHavePortsStays(t *testing.T) {
	n := newNode(t)
	rec := n.attach(t, "c1", "pods0")
	must(t, os.WriteFile(filepath.Join(n.stateDir, "attachments", "newer.json"), []byte(`{"version":2}`), 0o600))
	must(t, n.Remove(t.Context(), rec))
	n.Must(t, "pods0")
}

// empty fails unless nothing of the attachment is left, lock files included.
func (n node) empty(t *testing.T, when string, rec attachment.Record) {
	t.Helper()
	for _, link := range []string{rec.HostEnd, rec.Bridge} {
		if _, err := n.Link(link); !errors.Is(err, rtnl.ErrNotFound) {
			t.Errorf("%s: link %s: %v; want it gone", when, link, err)
		}
	}
	records, err := n.Store.All()
	if diff := cmp.Diff([]attachment.Record(nil), records, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); err != nil || diff != "" {
		t.Errorf("%s: records (-want +got): %v\n%s", when, err, diff)
	}
	if err := n.Guard.Check(t.Context(), rec.GuardPort()); err == nil {
		t.Errorf("%s: the guard still knows the port", when)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
