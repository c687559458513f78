package leg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/rtnl"
)

// PodSide is the leg as the Pod's namespace has it.
type PodSide struct {
	// Addrs are the Pod's; without one of IPv4 there is nothing to do.
	Addrs []netip.Prefix
	// LegMAC is the leg device's: what the node sends from.
	LegMAC net.HardwareAddr
	// PortMAC is the host end's, by which a bridge hands a frame to its node as by
	// its own. That one may be the lowest of all its ports', and change as others
	// join: a Pod that sends to it would lose its node. Unset: LegMAC.
	PortMAC net.HardwareAddr
	// CIDRs are the networks of Services, NodeAddrs what the function of that name
	// returns.
	CIDRs     []netip.Prefix
	NodeAddrs []netip.Addr
	// NoReplies: there was a *Shortfall, and nobody looks for what it lacks.
	NoReplies bool
}

// gatewayMAC is what the Pod sends to.
func (p PodSide) gatewayMAC() net.HardwareAddr {
	if p.PortMAC != nil {
		return p.PortMAC
	}
	return p.LegMAC
}

// source is the Pod's address on the leg.
func (p PodSide) source() (netip.Addr, bool) {
	for _, a := range p.Addrs {
		if a.Addr().Is4() {
			return a.Addr(), true
		}
	}
	return netip.Addr{}, false
}

// ConfigurePod gives the Pod's interface its way to the node and to Services, and
// takes away what an earlier call gave and is not wanted any more. It may be
// called again, and has to be after the interface has lost its addresses or been
// down. Where another interface has the Pod's default route, Services and node
// are that one's business, and this one only answers. A *Shortfall: all stands
// but the way back of what the node brings in a client's name.
func ConfigurePod(_ context.Context, netns, ifName string, p PodSide) error {
	source, ok := p.source()
	if !ok {
		return nil
	}
	return inPod(netns, ifName, func(h *rtnl.Handle, index int) error {
		if err := h.SetNeighbour(index, Gateway(), p.gatewayMAC()); err != nil {
			return err
		}
		if err := setRoutes(h, index, p, source); err != nil {
			return err
		}
		if err := setReplies(h, index, ifName, p.LegMAC); err != nil {
			return &Shortfall{What: "the Pod's answers to what the node brings in a client's name (NodePort with externalTrafficPolicy Local, hostPort) do not return by the node", Err: err}
		}
		return nil
	})
}

// VerifyPod returns nil if the Pod's interface is as ConfigurePod left it, else
// an error of code 105 that names the first difference.
func VerifyPod(_ context.Context, netns, ifName string, p PodSide) error {
	source, ok := p.source()
	if !ok {
		return nil
	}
	err := inPod(netns, ifName, func(h *rtnl.Handle, index int) error {
		bound, err := h.Neighbours(index)
		if err != nil {
			return err
		}
		if mac := bound[Gateway()]; !bytes.Equal(mac, p.gatewayMAC()) {
			return fmt.Errorf("%w: neighbour %s is %q, not %q", errDiffers, Gateway(), mac, p.gatewayMAC())
		}
		if err := verifyRoutes(h, index, p, source); err != nil || p.NoReplies {
			return err
		}
		return verifyReplies(h, index, ifName, p.LegMAC)
	})
	if errors.Is(err, errDiffers) {
		return types.NewError(uint(leaseapi.CodeChanged), ifName+" in the Pod has another way to its node than ADD left it", err.Error())
	}
	return err
}

// errDiffers: the Pod's side is not as it should be.
var errDiffers = errors.New("changed")

// inPod runs fn on the interface, with a handle in the Pod's namespace.
func inPod(netns, ifName string, fn func(h *rtnl.Handle, index int) error) error {
	h, err := rtnl.At(netns)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.Link(ifName)
	if err == nil {
		err = fn(h, link.Attrs().Index)
	}
	if err != nil {
		return fmt.Errorf("leg, in the Pod: %w", err)
	}
	return nil
}
