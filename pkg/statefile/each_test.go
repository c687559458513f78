package statefile_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/statefile"
)

// each loads values, and refuses what is none.
func each(dir statefile.Dir) (map[string]int, error) {
	loaded := map[string]int{}
	err := dir.Each(func(name string, data []byte) error {
		var v value
		err := json.Unmarshal(data, &v)
		if err == nil {
			loaded[name] = v.N
		}
		return err
	})
	return loaded, err
}

// content writes a file as nobody of ours would.
func content(t *testing.T, dir statefile.Dir, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir.Path(), file), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir statefile.Dir) []string {
	t.Helper()
	entries, err := os.ReadDir(dir.Path())
	if err != nil {
		t.Fatal(err)
	}
	all := []string{}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestABadFileIsSetAsideAndTheOthersAreLoaded(t *testing.T) {
	dir := holding(t, "durable", []int{1})
	content(t, dir, "bad.json", []byte(`{"n":`))
	loaded, err := each(dir)
	if err == nil || errors.Is(err, statefile.ErrUnreadable) || len(loaded) != 1 || loaded["x"] != 1 {
		t.Fatalf("loaded %v, error %v; want the good one and an error about the other", loaded, err)
	}
	for _, word := range []string{filepath.Join(dir.Path(), "bad.json"), "bad.json.1.corrupt", "JSON"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not say %q", err, word)
		}
	}
	if got := names(t, dir); !slices.Equal(got, []string{"bad.json.1.corrupt", "x.json"}) {
		t.Errorf("in the folder: %v", got)
	}
}

func TestASecondBadFileOfANameIsSetAsideBesideTheFirst(t *testing.T) {
	dir := holding(t, "durable", nil)
	content(t, dir, "old.json.corrupt", []byte("of an earlier release"))
	for _, bad := range []string{"first", "second", "third"} {
		content(t, dir, "bad.json", []byte(bad))
		if _, err := each(dir); err == nil {
			t.Errorf("%s was loaded", bad)
		}
	}
	for n, want := range map[int]string{1: "first", 2: "second", 3: "third"} {
		got, err := os.ReadFile(filepath.Join(dir.Path(), fmt.Sprintf("bad.json.%d.corrupt", n)))
		if err != nil || string(got) != want {
			t.Errorf("%d: %q, %v; want %q", n, got, err, want)
		}
	}
	if got := names(t, dir); len(got) != 4 {
		t.Errorf("in the folder: %v", got)
	}
}

func TestOfFilesSetAsideTheLatestThousandStay(t *testing.T) {
	dir := holding(t, "volatile", []int{1})
	for n := range 1003 {
		content(t, dir, fmt.Sprintf("%x.json.%d.corrupt", n*7919, n+1), nil)
	}
	content(t, dir, "bad.json", nil)
	if _, err := each(dir); err == nil {
		t.Error("the bad one was loaded")
	}
	left := names(t, dir)
	if len(left) != 1000+1+1 || !slices.Contains(left, "bad.json.1004.corrupt") {
		t.Errorf("%d files; want 1000 of before, the new bad one and the good one", len(left))
	}
	for n := range 3 {
		if gone := fmt.Sprintf("%x.json.%d.corrupt", n*7919, n+1); slices.Contains(left, gone) {
			t.Errorf("%s is still there", gone)
		}
	}
}

// A file that cannot be read may be a good one: to set it aside would be to
// forget a lease for want of a descriptor.
func TestWhatCannotBeReadStaysAndIsSaid(t *testing.T) {
	dir := holding(t, "durable", []int{1})
	content(t, dir, "bad.json", nil)
	must(t, dir.Put("secret", value{N: 2}))
	must(t, os.Chmod(filepath.Join(dir.Path(), "secret.json"), 0))
	onThread(func() {
		var none [2]unix.CapUserData // not even root's right to read all
		must(t, unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]))
		loaded, err := each(dir)
		if !errors.Is(err, statefile.ErrUnreadable) || !errors.Is(err, unix.EACCES) || !strings.Contains(err.Error(), "secret.json") {
			t.Errorf("%v; want an error about the file that cannot be read", err)
		}
		if len(loaded) != 1 || loaded["x"] != 1 {
			t.Errorf("loaded %v", loaded)
		}
	})
	if got := names(t, dir); !slices.Equal(got, []string{"bad.json.1.corrupt", "secret.json", "x.json"}) {
		t.Errorf("in the folder: %v", got)
	}
}

func TestAFolderThatIsGoneIsUnreadable(t *testing.T) {
	dir := holding(t, "durable", nil)
	must(t, os.Remove(dir.Path()))
	if _, err := each(dir); !errors.Is(err, statefile.ErrUnreadable) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func FuzzEach(f *testing.F) {
	for _, seed := range []string{``, `{"n":7}`, `{"n":`, `null`, "\x00\x00\x00", `{"n":1e400}`, `[[[[`, `{"n":7}{"n":8}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir, err := statefile.OpenVolatile(t.TempDir())
		must(t, err)
		must(t, dir.Put("good", value{N: 1}))
		content(t, dir, "any.json", data)
		loaded, err := each(dir)
		_, taken := loaded["any"]
		aside := slices.Contains(names(t, dir), "any.json.1.corrupt")
		if loaded["good"] != 1 || taken != (err == nil) || taken == aside {
			t.Errorf("%q: loaded %v, error %v, set aside: %t", data, loaded, err, aside)
		}
		if again, err := each(dir); err != nil || len(again) != len(loaded) {
			t.Errorf("%q: the second time %v, %v", data, again, err)
		}
		must(t, dir.Put("any", value{N: 2}))
	})
}
