package statefile_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/podlan/podlan/pkg/statefile"
)

type value struct {
	N int `json:"n"`
}

func TestWhatIsPutIsFound(t *testing.T) {
	for name, open := range openers() {
		t.Run(name, func(t *testing.T) {
			dir, err := open(filepath.Join(t.TempDir(), "a", "b"))
			if err != nil {
				t.Fatal(err)
			}
			for n := range 3 {
				if err := dir.Put("x", value{N: n}); err != nil {
					t.Fatal(err)
				}
			}
			var got value
			if err := dir.Get("x", &got); err != nil || got.N != 2 {
				t.Fatalf("got %+v, %v; want the last value", got, err)
			}
			files, _ := os.ReadDir(dir.Path())
			if len(files) != 1 {
				t.Fatalf("%d files in the folder, want the value's only", len(files))
			}
		})
	}
}

func TestDeleteOfWhatIsNotThereIsNoError(t *testing.T) {
	dir, err := statefile.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Delete("nothing"); err != nil {
		t.Fatal(err)
	}
	if err := dir.Get("nothing", &value{}); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v, want fs.ErrNotExist", err)
	}
}

func TestWhatAKilledPutLeftIsSweptOnceItIsOld(t *testing.T) {
	dir, err := statefile.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(dir.Path(), ".x.json123")
	young := filepath.Join(dir.Path(), ".y.json456")
	for _, path := range []string{left, young} {
		if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(left, long, long); err != nil {
		t.Fatal(err)
	}
	if empty, err := dir.Empty(); err != nil || !empty {
		t.Errorf("empty: %t, %v", empty, err)
	}
	if err := dir.Each(func(string, []byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old one is still there: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("the young one is gone: %v", err)
	}
	if err := dir.Sweep(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(young); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the young one is still there: %v", err)
	}
}

func TestALockExcludesAndIsGivenBack(t *testing.T) {
	dir := t.TempDir()
	held, err := statefile.TryAcquire(dir, "k")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := statefile.TryAcquire(dir, "k"); !errors.Is(err, statefile.ErrLocked) {
		t.Fatalf("got %v, want ErrLocked", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := statefile.Acquire(ctx, dir, "k"); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the context's error", err)
	}
	held.Release()
	again, err := statefile.Acquire(t.Context(), dir, "k")
	if err != nil {
		t.Fatal(err)
	}
	again.Release()
}

// A retired lock's file is gone for those who come after, but not for those
// who already waited on it: nobody may end up holding "the" lock twice.
func TestARetiredLockStillExcludes(t *testing.T) {
	dir := t.TempDir()
	var inside, most, total int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			l, err := statefile.Acquire(t.Context(), dir, "k")
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			inside++
			total++
			most = max(most, inside)
			mu.Unlock()
			mu.Lock()
			inside--
			mu.Unlock()
			l.Retire()
		})
	}
	wg.Wait()
	if most != 1 || total != 50 {
		t.Fatalf("%d holders at once, %d in all; want 1 and 50", most, total)
	}
}
