package ipam

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/rtnl"
)

// Result turns a lease into CNI's words. Priority is the metric of every route;
// 0 leaves it to the kernel.
func Result(lease leaseapi.Lease, priority int) (*current.Result, error) {
	if !lease.Address.IsValid() {
		return nil, types.NewError(types.ErrInternal, "podland answered without an address", lease.Key.String())
	}
	ip := &current.IPConfig{Address: *rtnl.IPNet(lease.Address)}
	if lease.Router.IsValid() {
		ip.Gateway = lease.Router.AsSlice()
	}
	result := &current.Result{CNIVersion: current.ImplementedSpecVersion, IPs: []*current.IPConfig{ip}}
	for _, r := range lease.Routes {
		result.Routes = append(result.Routes, route(r, priority))
	}
	for _, server := range lease.DNS {
		result.DNS.Nameservers = append(result.DNS.Nameservers, server.String())
	}
	result.DNS.Domain = lease.Domain
	result.DNS.Search = lease.Search
	return result, nil
}

// addMTU tells podlan-bridge the MTU that the server gave (option 26). Other main
// plugins would not look for an interface in an IPAM plugin's result.
func addMTU(result *current.Result, lease leaseapi.Lease, args *skel.CmdArgs) {
	if lease.MTU > 0 {
		result.Interfaces = []*current.Interface{{Name: args.IfName, Mac: lease.MAC, Mtu: lease.MTU, Sandbox: args.Netns}}
	}
}

// tellRefused warns of routes that the Pod does not get.
func (p Plugin) tellRefused(lease leaseapi.Lease) {
	for _, r := range lease.Refused {
		fmt.Fprintf(p.Stderr, "podlan-dhcp: the route %s of the DHCP server %s is refused: it covers a network of this node or of Services; "+
			"the key \"ipam.allowRoutes\" lets it pass\n", r.Dst, lease.Server)
	}
}

func route(r leaseapi.Route, priority int) *types.Route {
	dst := *rtnl.IPNet(r.Dst)
	out := &types.Route{Dst: dst, Priority: priority}
	if r.GW.IsValid() && !r.GW.IsUnspecified() {
		out.GW = r.GW.AsSlice()
		return out
	}
	// RFC 3442: router 0.0.0.0 means the destination is on the link.
	link := int(netlink.SCOPE_LINK)
	out.Scope = &link
	return out
}

// sameAddress compares the lease with the result that ADD gave, where the
// runtime hands it back.
func sameAddress(stdin []byte, lease leaseapi.Lease) error {
	var conf struct {
		PrevResult struct {
			IPs []struct {
				Address string `json:"address"`
			} `json:"ips"`
		} `json:"prevResult"`
	}
	if err := json.Unmarshal(stdin, &conf); err != nil {
		return types.NewError(types.ErrDecodingFailure, "prevResult", err.Error())
	}
	if len(conf.PrevResult.IPs) == 0 {
		return nil
	}
	for _, ip := range conf.PrevResult.IPs {
		// The mask may have changed at a renewal; the Pod keeps the former.
		if given, err := netip.ParsePrefix(ip.Address); err == nil && given.Addr() == lease.Address.Addr() {
			return nil
		}
	}
	return types.NewError(uint(leaseapi.CodeChanged), "the leased address is another than ADD gave",
		fmt.Sprintf("leased %s, given %s", lease.Address, conf.PrevResult.IPs[0].Address))
}
