package lab

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// fdNumbers gives descriptors of namespaces numbers that nothing else gets: a
// path /proc/<pid>/fd/<n> must not lead to another namespace soon after its own
// is gone, as a runtime's paths do not.
type fdNumbers struct {
	mu         sync.Mutex
	next       int
	from, upTo int
}

func newFDNumbers() (*fdNumbers, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, fmt.Errorf("limit of open files: %w", err)
	}
	upTo := int(min(limit.Cur, 1<<20))
	f := &fdNumbers{from: upTo / 4, upTo: upTo}
	// Several labs in one process begin at different places.
	f.next = f.from + rand.IntN(max(1, upTo/2))
	return f, nil
}

// open opens the path with a number of its own.
func (f *fdNumbers) open(path string) (*os.File, error) {
	low, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(low)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.next >= f.upTo-1 {
		f.next = f.from
	}
	high, err := unix.FcntlInt(uintptr(low), unix.F_DUPFD_CLOEXEC, f.next)
	if err != nil {
		return nil, fmt.Errorf("descriptor from %d on: %w", f.next, err)
	}
	f.next = high + 1
	return os.NewFile(uintptr(high), path), nil
}
