package lease

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/podlan/podlan/pkg/leaseapi"
)

func askedFor(n int) stored {
	s := sample()
	s.Key = leaseapi.Key{Network: "lan", ContainerID: "c" + strings.Repeat("x", n), IfName: "eth0"}
	s.Void = true
	return s
}

func reopened(t *testing.T, folder string) []leaseapi.Key {
	t.Helper()
	_, all, err := openJournal(folder)
	if err != nil {
		t.Fatal(err)
	}
	var keys []leaseapi.Key
	for _, s := range all {
		keys = append(keys, s.Key)
	}
	return keys
}

func TestAJournalHoldsWhatIsNotSettled(t *testing.T) {
	folder := t.TempDir()
	j, _, err := openJournal(folder)
	if err != nil {
		t.Fatal(err)
	}
	first, err := j.add(askedFor(1))
	if err != nil {
		t.Fatal(err)
	}
	second, err := j.add(askedFor(2))
	if err != nil {
		t.Fatal(err)
	}
	if keys := reopened(t, folder); len(keys) != 2 {
		t.Errorf("%v", keys)
	}
	for _, l := range []line{first, first, 0, second} {
		if err := j.settle(l); err != nil {
			t.Fatal(err)
		}
	}
	if keys := reopened(t, folder); len(keys) != 0 {
		t.Errorf("%v", keys)
	}
	if _, err := j.add(askedFor(3)); err != nil {
		t.Fatal(err)
	}
	if keys := reopened(t, folder); len(keys) != 1 || keys[0] != askedFor(3).Key {
		t.Errorf("%v", keys)
	}
}

// There is always one that is not settled yet.
func TestABusyJournalDoesNotGrowForGood(t *testing.T) {
	folder := t.TempDir()
	j, _, err := openJournal(folder)
	if err != nil {
		t.Fatal(err)
	}
	last := line(0)
	for range 5000 {
		next, err := j.add(askedFor(1))
		if err == nil {
			err = j.settle(last)
		}
		if err != nil {
			t.Fatal(err)
		}
		last = next
	}
	info, err := os.Stat(filepath.Join(folder, journalName))
	if err != nil || info.Size() > 2*journalRoom {
		t.Errorf("%v, %v", info, err)
	}
	if keys := reopened(t, folder); len(keys) == 0 || keys[len(keys)-1] != askedFor(1).Key {
		t.Errorf("%v", keys)
	}
}

func TestATornLineCostsNoOther(t *testing.T) {
	folder := t.TempDir()
	j, _, err := openJournal(folder)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if _, err := j.add(askedFor(n)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(folder, journalName)
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, data[:len(data)-20], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if keys := reopened(t, folder); len(keys) != 2 {
		t.Errorf("%v", keys)
	}
}
