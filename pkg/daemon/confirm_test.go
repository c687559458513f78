package daemon

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/boottime"
	"github.com/podlan/podlan/pkg/lease"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

const bootID = "this-boot"

func TestTheRecordsVerdict(t *testing.T) {
	const netns = "/proc/self/ns/net"
	inode, err := pod.NetnsInode(netns)
	must(t, err)
	there := attachment.Record{Key: oneKey(), BootID: bootID, Netns: netns, NetnsInode: inode}
	with := func(change func(*attachment.Record)) *attachment.Record {
		rec := there
		change(&rec)
		return &rec
	}
	cases := map[string]struct {
		rec  *attachment.Record
		want lease.Verdict
	}{
		"no record":      {nil, lease.Refuted},
		"ready":          {with(func(r *attachment.Record) { r.State = attachment.Ready }), lease.Confirmed},
		"intent in time": {with(func(r *attachment.Record) { r.State, r.Deadline = attachment.Intent, boottime.Now()+time.Hour }), lease.Wait},
		"intent past it": {with(func(r *attachment.Record) { r.State, r.Deadline = attachment.Intent, 0 }), lease.Refuted},
		// Its DEL may still come, and then finds the lease.
		"ready, Pod gone": {with(func(r *attachment.Record) { r.State, r.Netns = attachment.Ready, "/gone" }), lease.Confirmed},
		"intent, Pod gone": {with(func(r *attachment.Record) {
			r.State, r.Netns, r.Deadline = attachment.Intent, "/gone", boottime.Now()+time.Hour
		}), lease.Wait},
		"ready, of an earlier boot": {
			with(func(r *attachment.Record) { r.State, r.BootID = attachment.Ready, "earlier" }), lease.Refuted,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			store, err := attachment.OpenStore(t.TempDir())
			must(t, err)
			if c.rec != nil {
				must(t, store.Put(*c.rec))
			}
			if got := byRecord(store, bootID, oneKey()); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestARecordThatCannotBeReadIsNoVerdict(t *testing.T) {
	for name, text := range map[string]string{"a newer one": `{"version":2}`, "half a one": `{"ver`} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			store, err := attachment.OpenStore(dir)
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, "attachments", oneKey().Hash()+".json"), []byte(text), 0o600))
			if got := byRecord(store, bootID, oneKey()); got != lease.Wait {
				t.Errorf("got %v, want Wait", got)
			}
		})
	}
}

func TestTheAddressesVerdict(t *testing.T) {
	there := rtnltest.New(t)
	there.Bridge(t, "eth0")
	there.Address(t, "eth0", "192.0.2.7/24")
	file := filepath.Join(t.TempDir(), "unmounted")
	must(t, os.WriteFile(file, nil, 0o600))
	cases := map[string]struct {
		netns, ifName, address string
		want                   lease.Verdict
	}{
		"it bears the address":       {there.Path, "eth0", "192.0.2.7/24", lease.Confirmed},
		"it bears another":           {there.Path, "eth0", "192.0.2.8/24", lease.Refuted},
		"another prefix length":      {there.Path, "eth0", "192.0.2.7/25", lease.Refuted},
		"there is no such interface": {there.Path, "eth1", "192.0.2.7/24", lease.Refuted},
		"the namespace is gone":      {filepath.Join(t.TempDir(), "gone"), "eth0", "192.0.2.7/24", lease.Refuted},
		"its mount is gone":          {file, "eth0", "192.0.2.7/24", lease.Refuted},
		"it may not be looked at":    {"/proc/self/\x00", "eth0", "192.0.2.7/24", lease.Confirmed},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := byAddress(c.netns, c.ifName, netip.MustParsePrefix(c.address)); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
