package leg

import (
	"context"
	"net"
	"net/netip"
)

// PodSide is the leg as the Pod's namespace has it.
type PodSide struct {
	// Addrs are the Pod's; without one of IPv4 there is nothing to do.
	Addrs []netip.Prefix
	// LegMAC is the leg device's.
	LegMAC net.HardwareAddr
	// CIDRs are the networks of Services, NodeAddrs the node's own addresses that
	// are not beside the Pod (NodeAddrs).
	CIDRs     []netip.Prefix
	NodeAddrs []netip.Addr
}

// ConfigurePod gives the Pod's interface its way to the node and to Services, and
// takes away what an earlier call gave and is not wanted any more. It may be
// called again, and has to be after the interface has lost its addresses or been
// down. A *Shortfall: all stands but the way back of what comes from the node in
// a client's name.
func ConfigurePod(ctx context.Context, netns, ifName string, p PodSide) error { return nil }

// VerifyPod returns nil if the Pod's interface is as ConfigurePod left it, else
// an error of code 105 that names the first difference.
func VerifyPod(ctx context.Context, netns, ifName string, p PodSide) error { return nil }
