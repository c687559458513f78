package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/attachment"
)

// idle tells whether no process has been in the Pod's namespace for long: a
// sandbox that its runtime has forgotten, mounted still. Only where podland is
// told to look for such.
func (r *reconciler) idle(p *pass, rec attachment.Record) bool {
	if p.busy == nil || p.busy[rec.NetnsInode] || rec.State != attachment.Ready {
		return false
	}
	return r.wrong.age("idle "+rec.Key.String(), p.now) >= r.idleAfter
}

// busyNamespaces returns the inodes of the network namespaces that have a
// process, from a mounted proc(5). It takes CAP_SYS_PTRACE to look at all of
// them; without, nothing can be said.
func busyNamespaces(proc string) (map[uint64]bool, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, fmt.Errorf("processes: %w", err)
	}
	busy := map[uint64]bool{}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		link, err := os.Readlink(filepath.Join(proc, e.Name(), "ns", "net"))
		switch {
		case err == nil:
			if inode, ok := namespaceInode(link); ok {
				busy[inode] = true
			}
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH): // it has ended
		default:
			return nil, fmt.Errorf("the flag -reclaim-idle needs CAP_SYS_PTRACE (drop-in pod-access.conf): %w", err)
		}
	}
	return busy, nil
}

// namespaceInode reads "net:[4026531840]".
func namespaceInode(link string) (uint64, bool) {
	digits, ok := strings.CutPrefix(link, "net:[")
	inode, err := strconv.ParseUint(strings.TrimSuffix(digits, "]"), 10, 64)
	return inode, ok && err == nil
}
