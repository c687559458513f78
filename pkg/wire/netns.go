package wire

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// OpenPod opens the interface in the network namespace at the path netns, for
// one exchange: the open Conn keeps the namespace alive. fs.ErrNotExist when the
// namespace is gone, ErrNoLink when the interface is, fs.ErrPermission without
// CAP_SYS_ADMIN. The calling thread's namespace stays as it is.
func OpenPod(netns, ifname string) (*Conn, error) {
	target, err := openNetns(netns)
	if err != nil {
		return nil, err
	}
	defer func() { _ = target.Close() }()
	var socket, silencer *os.File
	err = inNetns(target, func() (err error) {
		if socket, err = openSocket(ifname, fromVeth()); err != nil {
			return err
		}
		if silencer, err = openSilencer(ifname); err != nil {
			_ = socket.Close()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("network namespace %s: %w", netns, err)
	}
	return newConn(socket, 0, func() error { return closeSilencer(silencer) })
}

// openNetns opens the file. A mount point whose mount has gone is an ordinary
// file, and a dead process's entry in /proc answers ESRCH: both are gone.
func openNetns(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ESRCH) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("open network namespace %s: %w", path, err)
	}
	var info unix.Statfs_t
	err = unix.Fstatfs(fd, &info)
	if err == nil && info.Type != unix.NSFS_MAGIC {
		err = fmt.Errorf("no namespace: %w", fs.ErrNotExist)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("open network namespace %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// inNetns calls fn in the namespace, on a thread that nobody else uses. Should
// that thread not find back, it dies with its goroutine.
func inNetns(target *os.File, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err, back := visit(target, fn)
		if back {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// visit changes the thread's namespace and back; back tells whether it is where
// it was.
func visit(target *os.File, fn func() error) (err error, back bool) { //nolint:revive // the error is fn's, back is about the thread
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("this network namespace: %w", err), true
	}
	defer func() { _ = home.Close() }()
	if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWNET); err != nil {
		return os.NewSyscallError("setns", err), true
	}
	err = fn()
	return err, unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil
}

// openSilencer binds UDP port 68 on the interface, and drops what comes: without
// it the Pod's kernel answers the server with ICMP port unreachable. It returns
// nil where the Pod runs a client of its own, which serves as well, or where
// podland may not bind the port (CAP_NET_BIND_SERVICE): the exchange counts for
// more than the ICMP.
func openSilencer(ifname string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("UDP socket: %w", err)
	}
	err = bindSilencer(fd, ifname)
	if err == nil {
		return os.NewFile(uintptr(fd), "udp:"+ifname), nil
	}
	_ = unix.Close(fd)
	if errors.Is(err, unix.EADDRINUSE) || errors.Is(err, unix.EACCES) {
		return nil, nil //nolint:nilnil // none is wanted
	}
	return nil, fmt.Errorf("UDP socket on %s: %w", ifname, noLink(err))
}

func bindSilencer(fd int, ifname string) error {
	if err := attach(fd, nothing()); err != nil {
		return err
	}
	if err := unix.BindToDevice(fd, ifname); err != nil {
		return os.NewSyscallError("bind to device", err)
	}
	return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrInet4{Port: clientPort}))
}

func closeSilencer(f *os.File) error {
	if f == nil {
		return nil
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("close the UDP socket: %w", err)
	}
	return nil
}
