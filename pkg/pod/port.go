// Package pod makes a port, a Pod's place on a segment: veth, MAC, MTU,
// addresses, routes, joining, announcement. It touches only the two ends that
// it is given.
package pod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/rtnl"
)

// Spec is a port to be made.
type Spec struct {
	// HostEnd is the host end's name, at most 15 bytes.
	HostEnd string
	// Netns is the path of the Pod's namespace, IfName the Pod end's name.
	Netns  string
	IfName string
	// MAC is the Pod end's address. The host end's is derived from it.
	MAC net.HardwareAddr
	// BridgeMTU is the host end's MTU in bytes: the bridge's own.
	BridgeMTU int
	// MTU is the Pod end's, at most BridgeMTU; 0 means BridgeMTU.
	MTU int
	// Alias names the attachment for people who look at the host end.
	Alias string
}

// podMTU returns the Pod end's MTU.
func (s Spec) podMTU() int {
	if s.MTU == 0 {
		return s.BridgeMTU
	}
	return s.MTU
}

// HostMAC returns the host end's address for a Pod end's: it starts with
// fe:ff:ff:, above every NIC's and every other program's port, because a bridge
// takes the lowest address of its ports. Two ports may share one: nothing is
// sent to a host end.
func HostMAC(mac net.HardwareAddr) net.HardwareAddr {
	return append(net.HardwareAddr{0xfe, 0xff, 0xff}, mac[3:]...)
}

// Create makes the veth, its peer at once inside the Pod's namespace, both ends
// down. A name that is taken is an error: code 4 for the Pod end's, fs.ErrExist
// for the host end's. An MTU above the bridge's is code 7.
func Create(_ context.Context, h *rtnl.Handle, spec Spec) error {
	if spec.MTU > spec.BridgeMTU {
		return types.NewError(uint(leaseapi.CodeConfig), fmt.Sprintf("key \"mtu\": %d is more than the bridge takes", spec.MTU),
			fmt.Sprintf("allowed: at most %d, the bridge's own MTU", spec.BridgeMTU))
	}
	netNS, err := ns.GetNS(spec.Netns)
	if err != nil {
		return fmt.Errorf("open the Pod's network namespace: %w", err)
	}
	defer func() { _ = netNS.Close() }()
	err = h.Add(veth(spec, int(netNS.Fd())))
	if errors.Is(err, unix.EEXIST) {
		return taken(h, spec)
	}
	if err != nil || spec.Alias == "" {
		return err
	}
	if err := h.ChangeNamed(spec.HostEnd, rtnl.Change{Alias: spec.Alias}); err != nil {
		return errors.Join(err, h.Delete(spec.HostEnd))
	}
	return nil
}

func veth(spec Spec, netns int) *netlink.Veth {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = spec.HostEnd
	attrs.HardwareAddr = HostMAC(spec.MAC)
	attrs.MTU = spec.BridgeMTU
	v := netlink.NewVeth(attrs)
	v.PeerName = spec.IfName
	v.PeerHardwareAddr = spec.MAC
	v.PeerMTU = uint32(spec.podMTU())
	v.PeerNamespace = netlink.NsFd(netns)
	return v
}

// taken tells which of the two names stood already.
func taken(h *rtnl.Handle, spec Spec) error {
	if _, err := h.Link(spec.HostEnd); err == nil {
		return fmt.Errorf("host end %s: %w", spec.HostEnd, fs.ErrExist)
	}
	return types.NewError(uint(leaseapi.CodeInvalidEnv), fmt.Sprintf("CNI_IFNAME: the Pod has an interface %s already", spec.IfName),
		"in namespace "+spec.Netns)
}

// Delete removes the port: both ends go with the host end. What is gone is no
// error.
func Delete(h *rtnl.Handle, hostEnd string) error { return h.Delete(hostEnd) }
