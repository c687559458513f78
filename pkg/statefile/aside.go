package statefile

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const quarantine = ".corrupt"

// kept is how many files are kept that were set aside, the latest: all leases
// of a node several times over, so that a release that wrongly refuses every
// one loses none.
const kept = 1000

// aside sets files of a folder aside. Each gets the folder's next number, which
// so tells their order.
type aside struct {
	dir  string
	last int
}

// newAside counts those that the listing shows, and removes the oldest of too
// many.
func newAside(dir string, entries []fs.DirEntry) *aside {
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), quarantine) && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(number(a), number(b)) })
	for _, name := range names[:max(0, len(names)-kept)] {
		_ = os.Remove(filepath.Join(dir, name))
	}
	a := &aside{dir: dir}
	if len(names) > 0 {
		a.last = number(names[len(names)-1])
	}
	return a
}

// number is that of <file>.<number>.corrupt, 0 where there is none.
func number(name string) int {
	digits := filepath.Ext(strings.TrimSuffix(name, quarantine))
	n, err := strconv.Atoi(strings.TrimPrefix(digits, "."))
	if err != nil {
		return 0
	}
	return n
}

// set renames the file and returns why with what became of it.
func (a *aside) set(file string, why error) error {
	for {
		a.last++
		to := fmt.Sprintf("%s.%d%s", file, a.last, quarantine)
		err := renameToNew(filepath.Join(a.dir, file), filepath.Join(a.dir, to))
		switch {
		case errors.Is(err, fs.ErrExist):
			continue // somebody else's of the same moment
		case err != nil:
			return fmt.Errorf("%s cannot be set aside (%w): %w", filepath.Join(a.dir, file), err, why)
		}
		return fmt.Errorf("%s set aside as %s: %w", filepath.Join(a.dir, file), to, why)
	}
}

// renameToNew is a rename that replaces nothing.
func renameToNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) {
		return err
	}
	// A file system that cannot, such as NFS.
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return fs.ErrExist
	}
	return os.Rename(from, to)
}
