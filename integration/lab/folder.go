package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/statefile"
)

const (
	folderPrefix = "podlan-lab-"
	folderLock   = "owner.lock"
	mountList    = "mounts"
)

// folder is a lab's own below the temporary folder. Its lock lives as long as
// the lab's process, however that ends; its list of mounts is what would be
// left on the machine.
type folder struct {
	path string
	lock *statefile.Lock

	mu sync.Mutex
}

// newFolder makes a folder. It gets its name when it is locked: one that is
// not is taken for a dead lab's.
func newFolder() (*folder, error) {
	work, err := os.MkdirTemp("", "."+folderPrefix)
	if err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	lock, err := statefile.TryAcquire(work, folderLock)
	if err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	f := &folder{lock: lock}
	f.path = filepath.Join(filepath.Dir(work), strings.TrimPrefix(filepath.Base(work), "."))
	if err := os.Rename(work, f.path); err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	// A podland with a user of its own has to reach its state folder.
	if err := os.Chmod(f.path, 0o755); err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	return f, nil
}

// noteMount remembers a mount for who finds the folder without its lab.
func (f *folder) noteMount(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	list, err := os.OpenFile(filepath.Join(f.path, mountList), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("list of mounts: %w", err)
	}
	defer list.Close()
	if _, err := fmt.Fprintln(list, path); err != nil {
		return fmt.Errorf("list of mounts: %w", err)
	}
	return nil
}

func (f *folder) remove() {
	_ = os.RemoveAll(f.path)
	f.lock.Release()
}

// sweepFolders removes what labs left whose process was killed: their folders
// and the mounts listed there. Everything else of theirs is gone already.
func sweepFolders() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*"))
	for _, dir := range dirs {
		if !ours(dir) {
			continue
		}
		lock, err := statefile.TryAcquire(dir, folderLock)
		if err != nil {
			continue // its lab lives
		}
		sweep(dir)
		lock.Release()
	}
}

// ours tells whether the folder is a lab's and this user's: the temporary
// folder is everybody's.
func ours(dir string) bool {
	var st unix.Stat_t
	if unix.Lstat(dir, &st) != nil || int(st.Uid) != os.Geteuid() || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return false
	}
	_, err := os.Lstat(filepath.Join(dir, folderLock))
	return err == nil
}

func sweep(dir string) {
	mounts, _ := os.ReadFile(filepath.Join(dir, mountList))
	for path := range strings.Lines(string(mounts)) {
		path = strings.TrimSpace(path)
		var fs unix.Statfs_t
		if unix.Statfs(path, &fs) != nil || fs.Type != unix.NSFS_MAGIC {
			continue // no namespace is mounted there any more
		}
		if unix.Unmount(path, unix.MNT_DETACH) == nil {
			_ = os.Remove(path)
		}
	}
	_ = os.RemoveAll(dir)
}
