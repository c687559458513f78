package leg

import (
	"net/netip"

	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
)

// NodeIP returns the address that the node shows to backends and Pods: the one
// of the configuration, else the source of the node's default route. Code 7 if
// there is neither, or the configured one is not the node's.
func NodeIP(h *rtnl.Handle, svc netconf.Service) (netip.Addr, error) { return netip.Addr{}, nil }

// NodeAddrs returns the node's own IPv4 addresses that the leg's Pod reaches by
// the leg, the node IP first, 64 at most: those of all links but loopback's
// 127/8, kube-ipvs0's, what lies in a Service network, and what stands beside
// the Pod on the leg's own device.
func NodeAddrs(h *rtnl.Handle, l Leg) ([]netip.Addr, error) { return nil, nil }
