package statefile_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/statefile"
)

func TestKilledBetweenAnyTwoSystemCallsItHoldsTheOldOrTheNew(t *testing.T) {
	cases := []struct {
		verb, kind string
		before     []int // what x is before: nothing, or 1
		after      []int // what it is when nothing is killed
		flushes    int   // files and folders
	}{
		{"put", "durable", nil, []int{2}, 2},
		{"put", "durable", []int{1}, []int{2}, 2},
		{"put", "volatile", []int{1}, []int{2}, 0},
		{"delete", "durable", []int{1}, nil, 1},
		{"delete", "volatile", []int{1}, nil, 0},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s %s over %v", c.kind, c.verb, c.before), func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n++ {
				dir := holding(t, c.kind, c.before)
				calls, done, err := doKilled(c.verb+" "+c.kind+" "+dir.Path(), n)
				if err != nil {
					t.Fatalf("before call %d: %v", n, err)
				}
				got := held(t, dir)
				if !slices.Equal(got, c.after) && (done || !slices.Equal(got, c.before)) {
					t.Errorf("killed before call %d: x is %v, before %v, to be %v", n, got, c.before, c.after)
				}
				if !done {
					continue
				}
				flushes := len(calls) - len(slices.DeleteFunc(slices.Clone(calls), func(c uint64) bool { return c == unix.SYS_FSYNC }))
				if flushes != c.flushes || len(calls) == 0 {
					t.Errorf("system calls %v: %d flushes, want %d", calls, flushes, c.flushes)
				}
				return
			}
		})
	}
}

// holding makes a folder that holds x, or nothing.
func holding(t *testing.T, kind string, x []int) statefile.Dir {
	t.Helper()
	dir, err := openers()[kind](t.TempDir())
	must(t, err)
	for _, n := range x {
		must(t, dir.Put("x", value{N: n}))
	}
	return dir
}

// held is what Each finds, all of it whole. Once they are old, nothing else may
// be left.
func held(t *testing.T, dir statefile.Dir) []int {
	t.Helper()
	names, err := os.ReadDir(dir.Path())
	must(t, err)
	long := time.Now().Add(-2 * time.Hour)
	for _, e := range names {
		must(t, os.Chtimes(filepath.Join(dir.Path(), e.Name()), long, long))
	}
	var found []int
	must(t, dir.Each(func(_ string, data []byte) error {
		var v value
		err := json.Unmarshal(data, &v)
		found = append(found, v.N)
		return err
	}))
	if names, err = os.ReadDir(dir.Path()); err != nil || len(names) != len(found) {
		t.Errorf("left: %v, %v; want %d file", names, err, len(found))
	}
	return found
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
