package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Netns is a network namespace, held by a file descriptor: it vanishes with
// this process. Safe for concurrent use.
type Netns struct {
	lab  *Lab
	name string
	file *os.File
	path string

	mu     sync.Mutex
	handle *netlink.Handle
	bound  []string // bind mounts
	closed bool
}

// newNetns makes a namespace with its loopback up. It goes with the lab.
func (l *Lab) newNetns(name string) (*Netns, error) {
	if err := l.take(name); err != nil {
		return nil, err
	}
	file, err := unshareNet(l.fds)
	if err != nil {
		return nil, fmt.Errorf("namespace %s: %w", name, err)
	}
	n := &Netns{lab: l, name: name, file: file, path: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), file.Fd())}
	l.onClose(func() { _ = n.Close() })
	if l.opts.Named {
		if n.path, err = n.Bind(filepath.Join("/run/netns", l.opts.Name+"-"+name)); err != nil {
			return nil, err
		}
	}
	if err := n.linkUp("lo"); err != nil {
		return nil, fmt.Errorf("namespace %s: %w", name, err)
	}
	return n, nil
}

// unshareNet makes a namespace and returns a descriptor of it.
func unshareNet(fds *fdNumbers) (file *os.File, err error) {
	unshare := func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare (the lab must run as root): %w", err)
		}
		return nil
	}
	err = elsewhere(unshare, func() (err error) {
		file, err = fds.open("/proc/thread-self/ns/net")
		return err
	})
	return file, err
}

// elsewhere runs f on a thread of its own, in the namespace that enter takes
// the thread to. The thread goes back to where it was, or ends with its
// goroutine.
func elsewhere(enter, f func() error) error {
	err := errors.New("the function ended its goroutine")
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		home, openErr := os.Open("/proc/thread-self/ns/net")
		if openErr != nil {
			err = openErr
			return
		}
		defer home.Close()
		if enterErr := enter(); enterErr != nil {
			err = enterErr
			return
		}
		defer func() {
			// A thread that cannot go back stays locked and so ends here.
			if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			}
		}()
		err = f()
	}()
	<-done
	return err
}

// Name returns what the namespace is called in the lab.
func (n *Netns) Name() string { return n.name }

// Path returns a path of the namespace that other processes accept, as
// CNI_NETNS for instance.
func (n *Netns) Path() string { return n.path }

// FD returns the descriptor that holds the namespace.
func (n *Netns) FD() int { return int(n.file.Fd()) }

// Inode returns the namespace's inode, its identity while it lives.
func (n *Netns) Inode() (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(n.FD(), &st); err != nil {
		return 0, fmt.Errorf("namespace %s: %w", n.name, err)
	}
	return st.Ino, nil
}

// Do runs f on a thread that is in the namespace. Goroutines that f starts are
// not in it; sockets that f opens stay in it.
func (n *Netns) Do(f func() error) error {
	enter := func() error {
		if err := unix.Setns(n.FD(), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter namespace %s: %w", n.name, err)
		}
		return nil
	}
	return elsewhere(enter, f)
}

// Netlink returns a handle to the namespace's links.
func (n *Netns) Netlink() (*netlink.Handle, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, fmt.Errorf("namespace %s: %w", n.name, os.ErrClosed)
	}
	if n.handle != nil {
		return n.handle, nil
	}
	h, err := netlink.NewHandleAt(netns.NsHandle(n.FD()), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink in namespace %s: %w", n.name, err)
	}
	// What changes while a dump is under way has it begin anew.
	n.handle = h.RetryInterrupted()
	return n.handle, nil
}

// Bind gives the namespace a path in the file system, as "ip netns" does, for
// processes that may not read /proc/<pid>/fd. It goes with the namespace.
func (n *Netns) Bind(path string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("bind namespace %s: %w", n.name, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return "", fmt.Errorf("bind namespace %s: %w", n.name, err)
	}
	_ = f.Close()
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", n.FD()), path, "", unix.MS_BIND, ""); err != nil {
		_ = os.Remove(path)
		return "", fmt.Errorf("bind namespace %s to %s: %w", n.name, path, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.bound = append(n.bound, path)
	return path, n.lab.folder.noteMount(path)
}

// Close lets the namespace go; the kernel removes it, with all that is in it,
// when no process is in it any more.
func (n *Netns) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	n.closed = true
	if n.handle != nil {
		n.handle.Close()
	}
	errs := []error{}
	for _, path := range n.bound {
		errs = append(errs, unix.Unmount(path, unix.MNT_DETACH), os.Remove(path))
	}
	return errors.Join(append(errs, n.file.Close())...)
}

// Sysctl reads a value: "net.ipv4.ip_forward", a path below /proc/sys.
func (n *Netns) Sysctl(key string) (string, error) {
	var value []byte
	err := n.Do(func() (err error) {
		value, err = os.ReadFile(sysctlPath(key))
		return err
	})
	return strings.TrimSpace(string(value)), err
}

// SetSysctl writes a value that belongs to the namespace.
func (n *Netns) SetSysctl(key, value string) error {
	if !strings.HasPrefix(key, "net") {
		return fmt.Errorf("sysctl %s is not the namespace's own", key)
	}
	return n.Do(func() error { return os.WriteFile(sysctlPath(key), []byte(value), 0) })
}

// sysctlPath accepts dots and, for interface names that have some, slashes.
func sysctlPath(key string) string {
	if !strings.Contains(key, "/") {
		key = strings.ReplaceAll(key, ".", "/")
	}
	return filepath.Join("/proc/sys", key)
}
