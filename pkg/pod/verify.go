package pod

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/rtnl"
)

// Expected is a port as ADD left it.
type Expected struct {
	Spec  Spec
	IP    IPConfig
	Flags PortFlags
	// Bridge is the bridge's name.
	Bridge string
	// Down: the Pod end was left down, so that the port does not forward.
	Down bool
}

// Verify returns nil if both ends are as want says, else an error of code 105
// that names the first difference.
func Verify(_ context.Context, h *rtnl.Handle, want Expected) error {
	if err := verifyHostEnd(h, want); err != nil {
		return changed(want.Spec.HostEnd, err)
	}
	if err := verifyPodEnd(want); err != nil {
		return changed(want.Spec.IfName+" in the Pod", err)
	}
	return nil
}

func changed(what string, err error) error {
	return types.NewError(uint(leaseapi.CodeChanged), what+" is not as ADD left it", err.Error())
}

func verifyHostEnd(h *rtnl.Handle, want Expected) error {
	link, err := h.Link(want.Spec.HostEnd)
	if err != nil {
		return err
	}
	bridge, err := h.Link(want.Bridge)
	if err != nil {
		return err
	}
	attrs := link.Attrs()
	if attrs.MasterIndex != bridge.Attrs().Index {
		return fmt.Errorf("it is no port of %s (its master is link %d)", want.Bridge, attrs.MasterIndex)
	}
	if err := sameLink(attrs, HostMAC(want.Spec.MAC), true); err != nil {
		return err
	}
	port, err := h.Port(attrs.Index)
	if err != nil {
		return err
	}
	if port.State != rtnl.PortForwarding && !want.Down {
		return fmt.Errorf("the port's state is %d, not %d (forwarding)", port.State, rtnl.PortForwarding)
	}
	if err := verifyVLANs(h, attrs.Index, port.Bridge, want.Flags.VLANs); err != nil {
		return err
	}
	return verifyBound(h, attrs.Index, port, want)
}

// verifyBound looks at what bind has set, as far as this kernel takes it.
func verifyBound(h *rtnl.Handle, index int, port rtnl.PortInfo, want Expected) error {
	have, flags := port.Flags, want.Flags.kernel()
	vids, err := want.Flags.entryVLANs(h, port.Bridge)
	if err != nil {
		return err
	}
	for _, mac := range want.Flags.entries(want.Spec.MAC) {
		has, err := h.HasFDB(index, mac, vids...)
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			// Before Linux 5.0. An older one has no sticky entries either, and
			// the port learns instead.
			flags.Learning, flags.Locked = have.Learning, have.Locked
		case err != nil:
			return err
		case !has:
			return fmt.Errorf("%s has no static entry for %s on the port", want.Bridge, mac)
		}
	}
	if !have.Locked && !takesLocked() {
		flags.Locked = false
	}
	return sameFlags(have, flags)
}

func sameFlags(have, want rtnl.PortFlags) error {
	flags := []struct {
		name       string
		have, want bool
	}{
		{"hairpin", have.Hairpin, want.Hairpin},
		{"isolated", have.Isolated, want.Isolated},
		{"learning", have.Learning, want.Learning},
		{"flood", have.Flood, want.Flood},
		{"locked", have.Locked, want.Locked},
	}
	for _, f := range flags {
		if f.have != f.want {
			return fmt.Errorf("%s is %t, not %t", f.name, f.have, f.want)
		}
	}
	if have.MulticastRouter != want.MulticastRouter {
		return fmt.Errorf("mcast_router is %d, not %d", have.MulticastRouter, want.MulticastRouter)
	}
	return nil
}

// takesLocked: Linux 5.18 has ports that are locked, whatever somebody may have
// brought back to an older one. To find out there would take setting the flag.
func takesLocked() bool {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return false
	}
	var major, minor int
	_, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	return err == nil && (major > 5 || major == 5 && minor >= 18)
}

func verifyPodEnd(want Expected) error {
	h, err := rtnl.At(want.Spec.Netns)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.Link(want.Spec.IfName)
	if err != nil {
		return err
	}
	attrs := link.Attrs()
	if err := sameLink(attrs, want.Spec.MAC, !want.Down); err != nil {
		return err
	}
	// One that was taken from the bridge may have changed with it.
	if mtu := want.Spec.MTU; mtu != 0 && attrs.MTU != mtu {
		return fmt.Errorf("its MTU is %d, not %d", attrs.MTU, mtu)
	}
	if err := verifyAddrs(h, attrs.Index, want.IP); err != nil {
		return err
	}
	return verifyRoutes(h, attrs.Index, want.IP)
}

func sameLink(attrs *netlink.LinkAttrs, mac net.HardwareAddr, up bool) error {
	if !bytes.Equal(attrs.HardwareAddr, mac) {
		return fmt.Errorf("its MAC is %s, not %s", attrs.HardwareAddr, mac)
	}
	if is := attrs.Flags&net.FlagUp != 0; is != up {
		return fmt.Errorf("its being up is %t, not %t", is, up)
	}
	return nil
}

func verifyAddrs(h *rtnl.Handle, index int, want IPConfig) error {
	have, err := h.Addrs(index)
	if err != nil {
		return err
	}
	for _, a := range want.Addrs {
		if !hasAddr(have, rtnl.IPNet(a.Prefix)) {
			return fmt.Errorf("it lacks the address %s", a.Prefix)
		}
	}
	return nil
}

func hasAddr(have []netlink.Addr, want *net.IPNet) bool {
	for _, a := range have {
		if a.IPNet.String() == want.String() {
			return true
		}
	}
	return false
}

func verifyRoutes(h *rtnl.Handle, index int, want IPConfig) error {
	if len(want.Routes) == 0 {
		return nil
	}
	have, err := h.Routes(index)
	if err != nil {
		return err
	}
	for _, r := range want.routes(index) {
		if !hasRoute(have, r) {
			return fmt.Errorf("it lacks the route %s", rtnl.RouteText(r))
		}
	}
	return nil
}

func hasRoute(have []netlink.Route, want *netlink.Route) bool {
	for _, r := range have {
		if sameDst(r.Dst, want.Dst) && r.Gw.Equal(want.Gw) &&
			(want.Priority == 0 || r.Priority == want.Priority) &&
			(want.Table == 0 || r.Table == want.Table) {
			return true
		}
	}
	return false
}

// sameDst takes a missing destination, as some versions of the library give
// it, for the default route.
func sameDst(have, want *net.IPNet) bool {
	if have != nil {
		return have.String() == want.String()
	}
	ones, _ := want.Mask.Size()
	return ones == 0
}
