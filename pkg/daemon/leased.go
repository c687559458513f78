package daemon

import (
	"github.com/containernetworking/cni/pkg/types"
	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
)

// leasedConfig is what a lease means for the Pod end; priority is the routes'
// metric, 0 the kernel's.
func leasedConfig(lease leaseapi.Lease, priority int) pod.IPConfig {
	cfg := pod.IPConfig{Addrs: []pod.Addr{{Prefix: lease.Address, Gateway: lease.Router}}}
	for _, r := range lease.Routes {
		route := &types.Route{Dst: *rtnl.IPNet(r.Dst), Priority: priority}
		if r.GW.IsValid() {
			route.GW = r.GW.AsSlice()
		} else { // RFC 3442: the destination is on the link
			route.Scope = new(int(netlink.SCOPE_LINK))
		}
		cfg.Routes = append(cfg.Routes, route)
	}
	return cfg
}
