package pod

import (
	"context"
	"net"
	"net/netip"
	"slices"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
)

// IPConfig is what the Pod end gets.
type IPConfig struct {
	Addrs []Addr
	// Routes are IPAM's: without a gateway of its own, a route takes the first
	// one of its family in Addrs; without any, or with the scope link, its
	// destination is on the link.
	Routes []*types.Route
	// EnableDAD: the kernel checks IPv6 addresses for duplicates before it uses
	// them, which takes about a second. Also the link-local one of a Pod that
	// gets no other.
	EnableDAD bool
	// LayerTwo: addresses are not Podlan's business here, nor how they are
	// checked.
	LayerTwo bool
}

// Addr is an address with its network's prefix length, and the gateway that came
// with it, if any.
type Addr struct {
	Prefix  netip.Prefix
	Gateway netip.Addr
}

// Configure gives the Pod end its addresses, sets it up and installs the
// routes. The host end may be down: everything is then in place before the
// first frame passes.
func Configure(_ context.Context, netns, ifname string, cfg IPConfig) error {
	return inPod(netns, ifname, func(h *rtnl.Handle, index int) error {
		if err := h.SetSysctls(sysctls(ifname, cfg)...); err != nil {
			return err
		}
		for _, a := range cfg.Addrs {
			if err := h.AddAddr(index, a.kernel(cfg.EnableDAD)); err != nil {
				return err
			}
		}
		if err := h.SetUp(index); err != nil {
			return err
		}
		for _, r := range cfg.routes(index) {
			if err := h.AddRoute(r); err != nil {
				return err
			}
		}
		return nil
	})
}

// sysctls returns the Pod end's settings. Addresses come from IPAM alone: one
// made by autoconfiguration would be the kernel's choice of source, and the
// guard would drop it.
func sysctls(ifname string, cfg IPConfig) []rtnl.Sysctl {
	conf := "net/ipv6/conf/" + ifname + "/"
	// For AnnounceFromPod, and for every change of the MAC later.
	notify := []rtnl.Sysctl{{Path: "net/ipv4/conf/" + ifname + "/arp_notify", Value: "1"}, {Path: conf + "ndisc_notify", Value: "1"}}
	always := slices.Concat(notify, cfg.duplicates(conf))
	if !cfg.hasIPv6() {
		return append(always, rtnl.Sysctl{Path: conf + "accept_ra", Value: "0"}, rtnl.Sysctl{Path: conf + "autoconf", Value: "0"})
	}
	return append(always, []rtnl.Sysctl{
		{Path: "net/ipv6/conf/lo/disable_ipv6", Value: "0"},
		{Path: conf + "disable_ipv6", Value: "0"},
		{Path: conf + "autoconf", Value: "0"},
		// The link-local address is the one that the guard knows.
		{Path: conf + "addr_gen_mode", Value: "0"},
		{Path: conf + "keep_addr_on_down", Value: "1"},
	}...)
}

// duplicates is EnableDAD as settings below conf.
func (c IPConfig) duplicates(conf string) []rtnl.Sysctl {
	switch {
	case c.LayerTwo:
		return nil
	case c.EnableDAD:
		return []rtnl.Sysctl{{Path: conf + "accept_dad", Value: "1"}, {Path: conf + "enhanced_dad", Value: "1"}}
	}
	return []rtnl.Sysctl{{Path: conf + "accept_dad", Value: "0"}}
}

func (c IPConfig) hasIPv6() bool {
	for _, a := range c.Addrs {
		if a.Prefix.Addr().Is6() {
			return true
		}
	}
	return false
}

func (a Addr) kernel(dad bool) *netlink.Addr {
	addr := &netlink.Addr{IPNet: rtnl.IPNet(a.Prefix)}
	if a.Prefix.Addr().Is6() && !dad {
		addr.Flags = unix.IFA_F_NODAD
	}
	return addr
}

// routes returns IPAM's routes as the kernel takes them.
func (c IPConfig) routes(index int) []*netlink.Route {
	routes := make([]*netlink.Route, 0, len(c.Routes))
	for _, r := range c.Routes {
		routes = append(routes, c.route(index, r))
	}
	return routes
}

func (c IPConfig) route(index int, r *types.Route) *netlink.Route {
	dst := r.Dst
	route := &netlink.Route{
		LinkIndex: index,
		Dst:       &dst,
		Gw:        c.gateway(r),
		Priority:  r.Priority,
		MTU:       r.MTU,
		AdvMSS:    r.AdvMSS,
	}
	if r.Table != nil {
		route.Table = *r.Table
	}
	if r.Scope != nil {
		route.Scope = netlink.Scope(*r.Scope)
	}
	if route.Gw != nil && !c.onLink(route.Gw) {
		// A server may name a router outside the leased prefix (RFC 3442).
		route.Flags = int(netlink.FLAG_ONLINK)
	}
	return route
}

func (c IPConfig) gateway(r *types.Route) net.IP {
	if r.GW != nil || onThisLink(r) {
		return r.GW
	}
	is4 := r.Dst.IP.To4() != nil
	for _, a := range c.Addrs {
		if a.Gateway.IsValid() && a.Gateway.Unmap().Is4() == is4 {
			return a.Gateway.Unmap().AsSlice()
		}
	}
	return nil
}

// onThisLink: the destination needs no gateway, as DHCP says by the router
// 0.0.0.0 (RFC 3442).
func onThisLink(r *types.Route) bool {
	return r.Scope != nil && netlink.Scope(*r.Scope) >= netlink.SCOPE_LINK
}

func (c IPConfig) onLink(gw net.IP) bool {
	addr, ok := netip.AddrFromSlice(gw)
	addr = addr.Unmap()
	if !ok || addr.IsLinkLocalUnicast() && addr.Is6() {
		return true
	}
	for _, a := range c.Addrs {
		if a.Prefix.Contains(addr) {
			return true
		}
	}
	return false
}
