package tombstone_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/tombstone"
)

func key(id string) leaseapi.Key {
	return leaseapi.Key{Network: "lan", ContainerID: id, IfName: "eth0"}
}

// settled returns what one Settle releases, sorted, and its error; fail are the
// containers whose release fails.
func settled(dir string, fail ...string) ([]string, error) {
	var ids []string
	err := tombstone.Settle(dir, func(k leaseapi.Key) error {
		ids = append(ids, k.ContainerID)
		if slices.Contains(fail, k.ContainerID) {
			return errors.New("no " + k.ContainerID)
		}
		return nil
	})
	slices.Sort(ids)
	return ids, err
}

func want(t *testing.T, what string, got []string, err error, ids ...string) {
	t.Helper()
	if diff := cmp.Diff(ids, got); err != nil || diff != "" {
		t.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
	}
}

func TestATombstoneIsSettledOnce(t *testing.T) {
	dir := t.TempDir()
	must(t, tombstone.Put(dir, key("c1")))
	must(t, tombstone.Put(dir, key("c1"))) // a DEL is repeated
	must(t, tombstone.Put(dir, key("c2")))
	got, err := settled(dir)
	want(t, "first", got, err, "c1", "c2")
	got, err = settled(dir)
	want(t, "second", got, err)
	nothingLeft(t, dir)
}

func TestAFailedReleaseKeepsItsTombstoneAndHoldsUpNoOther(t *testing.T) {
	dir := t.TempDir()
	for _, id := range []string{"c1", "c2", "c3", "c4"} {
		must(t, tombstone.Put(dir, key(id)))
	}
	got, err := settled(dir, "c1", "c3")
	if err == nil || !strings.Contains(err.Error(), "no c1") || !strings.Contains(err.Error(), "no c3") {
		t.Errorf("error %v; want both failures", err)
	}
	want(t, "first", got, nil, "c1", "c2", "c3", "c4")
	got, err = settled(dir)
	want(t, "second", got, err, "c1", "c3")
}

func TestAClearedTombstoneReleasesNothing(t *testing.T) {
	dir := t.TempDir()
	must(t, tombstone.Clear(t.Context(), dir, key("c1"))) // there is none
	must(t, tombstone.Put(dir, key("c1")))
	must(t, tombstone.Clear(t.Context(), dir, key("c1")))
	got, err := settled(dir)
	want(t, "settled", got, err)
	nothingLeft(t, dir)
}

// An ADD of a key whose DEL is being settled must wait for it: released after,
// its lease would be gone.
func TestClearWaitsForASettleThatHasBegun(t *testing.T) {
	dir := t.TempDir()
	must(t, tombstone.Put(dir, key("c1")))
	released, cleared := false, make(chan error, 1)
	err := tombstone.Settle(dir, func(leaseapi.Key) error {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := tombstone.Clear(ended, dir, key("c1")); !errors.Is(err, context.Canceled) {
			t.Errorf("Clear during the release: %v; want it to wait as long as its context allows", err)
		}
		go func() { cleared <- tombstone.Clear(t.Context(), dir, key("c1")) }()
		released = true
		return nil
	})
	must(t, err)
	must(t, <-cleared)
	if !released {
		t.Error("not released")
	}
}

// An ADD that came between the listing and the release.
func TestATombstoneClearedMeanwhileReleasesNothing(t *testing.T) {
	dir := t.TempDir()
	must(t, tombstone.Put(dir, key("c1")))
	must(t, tombstone.Put(dir, key("c2")))
	var ids []string
	must(t, tombstone.Settle(dir, func(k leaseapi.Key) error {
		ids = append(ids, k.ContainerID)
		other := map[string]string{"c1": "c2", "c2": "c1"}[k.ContainerID]
		return tombstone.Clear(t.Context(), dir, key(other))
	}))
	if len(ids) != 1 {
		t.Errorf("released %v; want one: the other was cleared", ids)
	}
}

func TestAFileThatIsNoTombstoneIsSetAside(t *testing.T) {
	dir := t.TempDir()
	must(t, tombstone.Put(dir, key("c1")))
	must(t, os.WriteFile(filepath.Join(dir, "tombstones", "bad.json"), []byte("{"), 0o600))
	got, err := settled(dir)
	if err == nil || !strings.Contains(err.Error(), "bad.json") {
		t.Errorf("error %v; want the file's name", err)
	}
	want(t, "settled", got, nil, "c1")
	got, err = settled(dir)
	want(t, "the second time", got, err)
}

// Whatever its name, a tombstone that is settled is gone.
func TestATombstoneUnderAForeignNameGoesToo(t *testing.T) {
	dir := t.TempDir()
	must(t, tombstone.Put(dir, key("c1")))
	must(t, os.WriteFile(filepath.Join(dir, "tombstones", "by-hand.json"),
		[]byte(`{"network":"lan","containerID":"c9","ifName":"eth0","note":"of a newer release"}`), 0o600))
	got, err := settled(dir)
	want(t, "first", got, err, "c1", "c9")
	got, err = settled(dir)
	want(t, "second", got, err)
}

func TestAFolderThatCannotBeMadeIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	_, settleErr := settled(file)
	for what, err := range map[string]error{
		"Put": tombstone.Put(file, key("c1")), "Clear": tombstone.Clear(t.Context(), file, key("c1")), "Settle": settleErr,
	} {
		if err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v; want an error with the path", what, err)
		}
	}
}

// nothingLeft fails if the folder holds anything, such as a lock's file.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "tombstones"))
	must(t, err)
	for _, e := range entries {
		t.Errorf("left: %s", e.Name())
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
