package pod

import (
	"bytes"
	"context"
	"fmt"
	"net"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/vishvananda/netlink"

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
		return fmt.Errorf("not a port of %s (master index %d)", want.Bridge, attrs.MasterIndex)
	}
	if err := sameLink(attrs, HostMAC(want.Spec.MAC), want.Spec.BridgeMTU); err != nil {
		return err
	}
	port, err := h.Port(attrs.Index)
	if err != nil {
		return err
	}
	return samePort(port, want.Flags)
}

func samePort(port rtnl.PortInfo, flags PortFlags) error {
	if port.State != rtnl.PortForwarding {
		return fmt.Errorf("port state %d, want %d (forwarding)", port.State, rtnl.PortForwarding)
	}
	if port.Flags.Hairpin != flags.Hairpin {
		return fmt.Errorf("hairpin is %t, want %t", port.Flags.Hairpin, flags.Hairpin)
	}
	if port.Flags.Isolated != flags.Isolated {
		return fmt.Errorf("isolated is %t, want %t", port.Flags.Isolated, flags.Isolated)
	}
	return nil
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
	if err := sameLink(attrs, want.Spec.MAC, want.Spec.podMTU()); err != nil {
		return err
	}
	if err := verifyAddrs(h, attrs.Index, want.IP); err != nil {
		return err
	}
	return verifyRoutes(h, attrs.Index, want.IP)
}

func sameLink(attrs *netlink.LinkAttrs, mac net.HardwareAddr, mtu int) error {
	if !bytes.Equal(attrs.HardwareAddr, mac) {
		return fmt.Errorf("MAC is %s, want %s", attrs.HardwareAddr, mac)
	}
	if mtu != 0 && attrs.MTU != mtu {
		return fmt.Errorf("MTU is %d, want %d", attrs.MTU, mtu)
	}
	if attrs.Flags&net.FlagUp == 0 {
		return fmt.Errorf("is down")
	}
	return nil
}

func verifyAddrs(h *rtnl.Handle, index int, want IPConfig) error {
	have, err := h.Addrs(index)
	if err != nil {
		return err
	}
	for _, a := range want.Addrs {
		if !hasAddr(have, ipNet(a.Prefix)) {
			return fmt.Errorf("address %s is missing", a.Prefix)
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
			return fmt.Errorf("route %s via %s is missing", r.Dst, r.Gw)
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
