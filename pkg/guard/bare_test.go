package guard_test

import (
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// enterBare moves the thread into the namespace for good, drops its
// capabilities, and calls fn.
func enterBare(n *rtnltest.Netns, fn func()) error {
	if err := unix.Setns(n.Fd(), unix.CLONE_NEWNET); err != nil {
		return err
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return err
	}
	fn()
	return nil
}
