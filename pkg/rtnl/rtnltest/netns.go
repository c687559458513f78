// Package rtnltest makes network namespaces for tests: anonymous ones, which
// die with the test. It never touches the machine's own.
package rtnltest

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
)

// Netns is a namespace of its own, with lo up.
type Netns struct {
	*rtnl.Handle
	// Path names the namespace while the test runs, as CNI_NETNS does.
	Path string
	file *os.File
}

// New returns a new namespace. It skips the test where the user may not make
// one.
func New(tb testing.TB) *Netns {
	tb.Helper()
	file, err := unshare()
	if os.IsPermission(err) {
		tb.Skip("a network namespace takes root")
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = file.Close() })
	path := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), file.Fd())
	h, err := rtnl.At(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(h.Close)
	n := &Netns{Handle: h, Path: path, file: file}
	n.Up(tb, "lo")
	return n
}

// Close lets go of the namespace before the test ends: with its last holder,
// the kernel removes it and all that is in it.
func (n *Netns) Close() {
	n.Handle.Close()
	_ = n.file.Close()
}

// unshare makes a namespace on a thread that dies with the goroutine.
func unshare() (*os.File, error) {
	type outcome struct {
		file *os.File
		err  error
	}
	done := make(chan outcome)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is not used again
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- outcome{err: os.NewSyscallError("unshare", err)}
			return
		}
		file, err := os.Open("/proc/thread-self/ns/net")
		done <- outcome{file, err}
	}()
	o := <-done
	return o.file, o.err
}
