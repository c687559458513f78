package rtnltest

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
)

// NoVLAN is why a test of VLANs skips. integration/house/skips knows it: such a
// test must have passed in the virtual machine (integration/vm) instead.
const NoVLAN = "this kernel has no 802.1Q or no bridge VLAN filtering"

// ErrNoVLAN is returned for a kernel that cannot do VLANs.
var ErrNoVLAN = errors.New(NoVLAN)

// NeedVLAN skips the test where the kernel cannot do VLANs.
func NeedVLAN(tb testing.TB) {
	tb.Helper()
	switch err := ProbeVLAN(); {
	case errors.Is(err, ErrNoVLAN):
		tb.Skip(NoVLAN)
	case errors.Is(err, os.ErrPermission):
		tb.Skip("a network namespace takes root")
	case err != nil:
		tb.Fatal(err)
	}
}

// ProbeVLAN tells whether the kernel has VLAN devices and bridges that filter by
// VLAN: ErrNoVLAN if not. It tries both in a namespace of its own.
func ProbeVLAN() error {
	file, err := unshare()
	if err != nil {
		return err
	}
	defer file.Close()
	h, err := rtnl.At(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), file.Fd()))
	if err != nil {
		return err
	}
	defer h.Close()
	err = tryVLAN(h)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return ErrNoVLAN
	}
	return err
}

func tryVLAN(h *rtnl.Handle) error {
	filtering := true
	bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), VlanFiltering: &filtering}
	bridge.Name = "probe0"
	if err := h.Add(bridge); err != nil {
		return err
	}
	made, err := h.Link(bridge.Name)
	if err != nil {
		return err
	}
	// Without it the kernel takes no notice of the wish.
	if b, ok := made.(*netlink.Bridge); !ok || b.VlanFiltering == nil || !*b.VlanFiltering {
		return ErrNoVLAN
	}
	vlan := &netlink.Vlan{LinkAttrs: netlink.NewLinkAttrs(), VlanId: 2}
	vlan.Name, vlan.ParentIndex = "probe0.2", made.Attrs().Index
	return h.Add(vlan)
}
