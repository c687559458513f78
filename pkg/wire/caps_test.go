package wire

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// podland has these two capabilities, and no more without its drop-in.
func TestWhatTakesMoreThanPodlandsCapabilities(t *testing.T) {
	l := newLAN(t)
	pod, _ := newPod(t)
	asPodland(t, l.node, func() error {
		c, err := OpenUplink("eth1", 0)
		if err != nil {
			return err
		}
		return c.Close()
	})
	asPodland(t, l.node, func() error {
		c, err := OpenPort("br0", 0, podMAC())
		if err != nil {
			return err
		}
		return errors.Join(c.Send(release()), c.Close())
	})
	asPodland(t, l.node, func() error {
		c, err := OpenARP("br0", 0)
		if err != nil {
			return err
		}
		err = c.Watch([]Claim{{podIP(), podMAC()}})
		return errors.Join(err, c.Send(probeFor(podIP(), podMAC())), c.Close())
	})
	asPodland(t, l.node, func() error {
		// OpenPod's own thread has what this one has given up.
		target, err := openNetns(pod.Path)
		if err != nil {
			return err
		}
		defer func() { _ = target.Close() }()
		err, back := visit(target, func() error { return nil })
		if !errors.Is(err, fs.ErrPermission) || !back {
			return fmt.Errorf("enter a Pod's namespace: %w, back %t", err, back)
		}
		return nil
	})
	if names := momentary(t, l.node); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
}

// asPodland calls fn in the namespace, with CAP_NET_ADMIN and CAP_NET_RAW alone,
// on a thread that dies with it.
func asPodland(t *testing.T, n *rtnltest.Netns, fn func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and not unlocked: the thread is spoilt
		done <- func() error {
			if err := unix.Setns(n.Fd(), unix.CLONE_NEWNET); err != nil {
				return err
			}
			const both = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			caps := [2]unix.CapUserData{{Effective: both, Permitted: both}}
			if err := unix.Capset(&header, &caps[0]); err != nil {
				return err
			}
			return fn()
		}()
	}()
	must(t, <-done)
}
