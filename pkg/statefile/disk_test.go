package statefile_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/statefile"
)

// onDisk runs f with a small file system of its own, mounted where no other
// thread sees it.
func onDisk(t *testing.T, options string, f func(dir string)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("to mount takes root")
	}
	dir := t.TempDir()
	onThread(func() {
		must(t, unix.Unshare(unix.CLONE_NEWNS))
		must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		must(t, unix.Mount("podlan-test", dir, "tmpfs", 0, options))
		f(dir)
	})
}

// onThread runs f on a thread that ends with it, and whose mounts and
// capabilities are its own.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good
		f()
	}()
	<-done
}

// fillPages takes what room there is, fillInodes what files there may be.
func fillPages(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "pages"))
	for err == nil {
		_, err = f.Write(make([]byte, os.Getpagesize()))
	}
	full(t, err)
	must(t, f.Close())
}

func fillInodes(t *testing.T, dir string) {
	t.Helper()
	for {
		f, err := os.CreateTemp(dir, "inode")
		if err != nil {
			full(t, err)
			return
		}
		must(t, f.Close())
	}
}

func full(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}

// refuses checks that a Put fails for that reason, says where, and leaves the
// old value and nothing else.
func refuses(t *testing.T, dir statefile.Dir, why error) {
	t.Helper()
	for _, name := range []string{"x", "new"} {
		err := dir.Put(name, value{N: 2})
		if !errors.Is(err, why) || !strings.Contains(err.Error(), filepath.Join(dir.Path(), name+".json")) {
			t.Errorf("Put of %s: %v; want %v and the path", name, err, why)
		}
	}
	left, err := os.ReadDir(dir.Path())
	var got value
	if err := dir.Get("x", &got); err != nil || got.N != 1 || len(left) != 1 {
		t.Errorf("x is %+v, %v, and in the folder are %v; want the old value only", got, err, left)
	}
	must(t, err)
}

func TestOnAFullDiskTheOldValueStandsAndCanBeDeleted(t *testing.T) {
	disks := map[string]struct {
		options string
		fill    func(t *testing.T, dir string)
	}{
		"no page left":  {"size=64k", fillPages},
		"no inode left": {"size=1m,nr_inodes=16", fillInodes},
	}
	for name, disk := range disks {
		for kind, open := range openers() {
			t.Run(name+", "+kind, func(t *testing.T) {
				onDisk(t, disk.options, func(root string) {
					dir, err := open(filepath.Join(root, "state"))
					must(t, err)
					must(t, dir.Put("x", value{N: 1}))
					rest := filepath.Join(root, "rest")
					must(t, os.Mkdir(rest, 0o700))
					disk.fill(t, rest)
					refuses(t, dir, unix.ENOSPC)
					must(t, dir.Delete("x"))
					if got := held(t, dir); len(got) > 0 {
						t.Errorf("deleted: %v", got)
					}
					must(t, os.RemoveAll(rest))
					must(t, dir.Put("x", value{N: 3}))
				})
			})
		}
	}
}

func TestOnAReadOnlyDiskTheOldValueStandsAndLocksThatAreThereServe(t *testing.T) {
	for kind, open := range openers() {
		t.Run(kind, func(t *testing.T) {
			onDisk(t, "size=64k", func(root string) {
				dir, err := open(filepath.Join(root, "state"))
				must(t, err)
				must(t, dir.Put("x", value{N: 1}))
				locks := filepath.Join(root, "locks")
				lock, err := statefile.TryAcquire(locks, "k")
				must(t, err)
				lock.Release()
				must(t, unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))

				refuses(t, dir, unix.EROFS)
				if err := dir.Delete("x"); !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), dir.Path()) {
					t.Errorf("Delete: %v; want EROFS and the path", err)
				}
				if lock, err = statefile.TryAcquire(locks, "k"); err != nil {
					t.Fatal(err)
				}
				if _, err := statefile.TryAcquire(locks, "k"); !errors.Is(err, statefile.ErrLocked) {
					t.Errorf("a lock that is held: %v", err)
				}
				lock.Retire()
				if _, err := statefile.TryAcquire(locks, "new"); !errors.Is(err, unix.EROFS) {
					t.Errorf("a new lock: %v", err)
				}
			})
		})
	}
}
