package statefile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrLocked is returned by TryAcquire when somebody else holds the lock.
var ErrLocked = errors.New("locked by another process")

// Lock is an advisory lock, held by an open file (flock(2)): it excludes other
// processes and other goroutines of this one, and the kernel gives it back when
// the process dies, however it dies. It is not safe for concurrent use.
type Lock struct {
	file *os.File
}

// Acquire takes the named lock in dir, waiting in the kernel's queue until ctx
// ends. The directory is made where it is missing.
func Acquire(ctx context.Context, dir, name string) (*Lock, error) {
	lock, err := TryAcquire(dir, name)
	if !errors.Is(err, ErrLocked) {
		return lock, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("lock %s: %w", filepath.Join(dir, name), context.Cause(ctx))
	}
	type outcome struct {
		lock *Lock
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		lock, err := acquire(dir, name, unix.LOCK_EX)
		if ctx.Err() != nil && lock != nil {
			lock.Release() // nobody waits for it any more
			lock, err = nil, context.Cause(ctx)
		}
		done <- outcome{lock, err}
	}()
	select {
	case o := <-done:
		return o.lock, o.err
	case <-ctx.Done():
		return nil, fmt.Errorf("lock %s: %w", filepath.Join(dir, name), context.Cause(ctx))
	}
}

// TryAcquire is Acquire without waiting: ErrLocked if it is held.
func TryAcquire(dir, name string) (*Lock, error) {
	return acquire(dir, name, unix.LOCK_EX|unix.LOCK_NB)
}

// Release gives the lock back and leaves its file for the next.
func (l *Lock) Release() { _ = l.file.Close() }

// Retire gives the lock back and removes its file, for locks whose name will
// not be used again.
func (l *Lock) Retire() {
	_ = os.Remove(l.file.Name())
	_ = l.file.Close()
}

func acquire(dir, name string, how int) (*Lock, error) {
	if _, err := OpenVolatile(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, name)
	for {
		f, err := openLock(path)
		if err != nil {
			return nil, fmt.Errorf("lock: %w", err)
		}
		if err := giveToOwner(f, dir); err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if err := flock(f, how); err != nil {
			_ = f.Close()
			return nil, err
		}
		if stillThere(f, path) {
			return &Lock{file: f}, nil
		}
		// Its former holder retired it between our open and our turn.
		_ = f.Close()
	}
}

// openLock opens the lock's file, made where it is missing. On a read-only file
// system one that is there serves all the same.
func openLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, unix.EROFS) {
		if there, openErr := os.Open(path); openErr == nil {
			return there, nil
		}
	}
	return f, err
}

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EWOULDBLOCK):
			return ErrLocked
		case err != nil:
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		return nil
	}
}

func stillThere(f *os.File, path string) bool {
	held, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(held, named)
}
