package attachment_test

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/segment"
	"github.com/podlan/podlan/pkg/statefile"
)

func prefixes() cmp.Option {
	return cmp.Options{
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	}
}

func full() attachment.Record {
	return attachment.Record{
		Version: attachment.Version,
		Key:     attachment.Key{Network: "lan", ContainerID: "c1", IfName: "eth0"},
		State:   attachment.Ready, Order: attachment.LeaseFirst,
		BootID: "boot", Deadline: time.Minute, Netns: "/run/netns/p1", NetnsInode: 4026531840,
		Bridge: "br0", Uplink: "eth1", Parent: "eth0", OuterVLAN: 100, VLAN: 20, Trunk: []netconf.VLANRange{{First: 30, Last: 39}},
		KeepDefault: true, Filtering: true, Granted: segment.Grant{Uplink: []netconf.VLANRange{{First: 30, Last: 31}}},
		HostEnd: "vethpl012345678", MAC: "02:00:00:00:00:01",
		Guard: true, DHCP: true, Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/24")}, Masq: true, IPAM: "podlan-dhcp",
		Service: netconf.Service{Mode: netconf.ServiceSNAT, CIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}},
		NodeIP:  netip.MustParseAddr("192.0.2.10"), Leg: "br0.20",
		PodSide: attachment.PodSide{LegMAC: "02:00:00:00:00:02", NodeAddrs: []netip.Addr{netip.MustParseAddr("192.0.2.10")}, NoReplies: true},
	}
}

func open(t *testing.T) (*attachment.Store, string) {
	t.Helper()
	dir := t.TempDir()
	store, err := attachment.OpenStore(dir)
	must(t, err)
	return store, filepath.Join(dir, "attachments")
}

func TestARecordIsReadAsItWasWritten(t *testing.T) {
	store, _ := open(t)
	want := full()
	unversioned := want
	unversioned.Version = 0
	must(t, store.Put(unversioned))
	got, err := store.Get(want.Key)
	if diff := cmp.Diff(want, got, prefixes()); err != nil || diff != "" {
		t.Errorf("Get: %v (-want +got):\n%s", err, diff)
	}
	all, err := store.All()
	if diff := cmp.Diff([]attachment.Record{want}, all, prefixes()); err != nil || diff != "" {
		t.Errorf("All: %v (-want +got):\n%s", err, diff)
	}
	must(t, store.Delete(want.Key))
	must(t, store.Delete(want.Key))
	if _, err := store.Get(want.Key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Delete: %v, want fs.ErrNotExist", err)
	}
}

// After a downgrade, what the newer release wrote is its own: refused where it
// is asked for, skipped where all are, and never set aside.
func TestANewerRecordStaysWhereItIs(t *testing.T) {
	cases := map[string]string{
		"of the same shape": `{"version":2,"network":"lan","containerID":"c1","ifName":"eth0","bridge":"br0"}`,
		"of another shape":  `{"version":2,"network":["lan"],"addresses":{"v4":"192.0.2.7/24"},"state":7}`,
	}
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			store, dir := open(t)
			key := full().Key
			file := filepath.Join(dir, key.Hash()+".json")
			must(t, os.WriteFile(file, []byte(text), 0o600))
			if _, err := store.Get(key); err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "version 2") {
				t.Errorf("Get: %v; want an error that names the version", err)
			}
			if all, err := store.All(); err != nil || len(all) != 0 {
				t.Errorf("All: %v, %v; want none and no error", all, err)
			}
			if empty, err := store.Empty(); err != nil || empty {
				t.Errorf("Empty: %t, %v; want false: there is an attachment", empty, err)
			}
			if got, err := os.ReadFile(file); err != nil || string(got) != text {
				t.Errorf("the file: %q, %v; want it untouched", got, err)
			}
		})
	}
}

func TestFieldsOfANewerMinorReleaseAreIgnored(t *testing.T) {
	store, dir := open(t)
	key := full().Key
	must(t, os.WriteFile(filepath.Join(dir, key.Hash()+".json"),
		[]byte(`{"version":1,"network":"lan","containerID":"c1","ifName":"eth0","state":"ready","vlan":20}`), 0o600))
	got, err := store.Get(key)
	if err != nil || got.Key != key || got.State != attachment.Ready {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestABadRecordIsSetAsideBesideGoodOnes(t *testing.T) {
	store, dir := open(t)
	must(t, store.Put(full()))
	must(t, os.WriteFile(filepath.Join(dir, "bad.json"), []byte(`{"version":`), 0o600))
	all, err := store.All()
	if err == nil || !strings.Contains(err.Error(), "bad.json") || len(all) != 1 {
		t.Errorf("got %v, %v; want the good one and an error that names the bad one", all, err)
	}
	if all, err := store.All(); err != nil || len(all) != 1 {
		t.Errorf("the second time: %v, %v; want the good one and no error", all, err)
	}
}

func TestAnAttachmentsLockIsItsOwn(t *testing.T) {
	store, _ := open(t)
	one, two := full().Key, full().Key
	two.ContainerID = "c2"
	held, err := store.Lock(t.Context(), one)
	must(t, err)
	if _, err := store.TryLock(one); !errors.Is(err, statefile.ErrLocked) {
		t.Errorf("the same key: %v, want ErrLocked", err)
	}
	other, err := store.TryLock(two)
	must(t, err)
	other.Retire()
	held.Retire()
	again, err := store.TryLock(one)
	must(t, err)
	again.Retire()
}

func TestHostEndsAreKernelNamesAndDiffer(t *testing.T) {
	seen := map[string]attachment.Key{}
	for _, key := range []attachment.Key{
		{Network: "lan", ContainerID: "c1", IfName: "eth0"},
		{Network: "lan", ContainerID: "c1", IfName: "eth1"},
		{Network: "lan", ContainerID: "c2", IfName: "eth0"},
		{Network: "lan2", ContainerID: "c1", IfName: "eth0"},
		{Network: "lanc", ContainerID: "1", IfName: "eth0"}, // the same letters, cut elsewhere
	} {
		name := attachment.HostEnd(key, true)
		if len(name) != 15 || !strings.HasPrefix(name, "vethpl") {
			t.Errorf("%s: host end %q", key, name)
		}
		if other, taken := seen[name]; taken {
			t.Errorf("%s and %s have the same host end", key, other)
		}
		seen[name] = key
	}
}

func TestHardwareAddrOfARecordWithoutOneIsNil(t *testing.T) {
	if mac := (attachment.Record{}).HardwareAddr(); mac != nil {
		t.Errorf("got %v", mac)
	}
	if mac := full().HardwareAddr(); mac.String() != "02:00:00:00:00:01" {
		t.Errorf("got %v", mac)
	}
}
