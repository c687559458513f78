package rtnl

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrNoRoute says that the namespace has no route, or one that refuses.
var ErrNoRoute = errors.New("no route")

// AppendRoute adds a route behind those that stand for the same destination:
// theirs goes on. One that stands already, equal in every part, is no error.
func (h *Handle) AppendRoute(route *netlink.Route) error {
	err := h.lib.RouteAppend(route)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add route %s: %w", RouteText(route), typed(err))
	}
	return nil
}

// ReplaceRoute puts a route in the place of the first one to its destination
// with its metric, or adds it.
func (h *Handle) ReplaceRoute(route *netlink.Route) error {
	if err := h.lib.RouteReplace(route); err != nil {
		return fmt.Errorf("set route %s: %w", RouteText(route), typed(err))
	}
	return nil
}

// HostRoute returns the route to this address alone that the kernel would take;
// false if it takes a wider one or none.
func (h *Handle) HostRoute(addr netip.Addr) (netlink.Route, bool, error) {
	routes, err := h.lib.RouteGetWithOptions(addr.AsSlice(), &netlink.RouteGetOptions{FIBMatch: true})
	if err != nil && !noRoute(err) {
		return netlink.Route{}, false, fmt.Errorf("route to %s: %w", addr, err)
	}
	alone := IPNet(netip.PrefixFrom(addr, addr.BitLen())).String()
	for _, r := range routes {
		if r.Dst != nil && r.Dst.String() == alone {
			return r, true, nil
		}
	}
	return netlink.Route{}, false, nil
}

// RoutesOf returns the IPv4 routes of the main table of this origin
// (rtm_protocol): a dump.
func (h *Handle) RoutesOf(origin netlink.RouteProtocol) ([]netlink.Route, error) {
	return h.routes4(netlink.Route{Protocol: origin}, netlink.RT_FILTER_PROTOCOL)
}

// RoutesIn returns the IPv4 routes of a table: a dump.
func (h *Handle) RoutesIn(table int) ([]netlink.Route, error) {
	return h.routes4(netlink.Route{Table: table}, netlink.RT_FILTER_TABLE)
}

func (h *Handle) routes4(filter netlink.Route, by uint64) ([]netlink.Route, error) {
	var routes []netlink.Route
	err := retry(func() (err error) {
		routes, err = h.lib.RouteListFiltered(netlink.FAMILY_V4, &filter, by)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return routes, nil
}

// SourceTo returns the address that the kernel would send from to addr;
// ErrNoRoute if it would not send. Nothing is sent.
func (h *Handle) SourceTo(addr netip.Addr) (netip.Addr, error) {
	routes, err := h.lib.RouteGet(addr.AsSlice())
	if err != nil && !noRoute(err) {
		return netip.Addr{}, fmt.Errorf("route to %s: %w", addr, err)
	}
	for _, r := range routes {
		if src, ok := netip.AddrFromSlice(r.Src); ok {
			return src.Unmap(), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%w to %s", ErrNoRoute, addr)
}

// noRoute: there is none, or one that says no (unreachable, prohibit, blackhole).
func noRoute(err error) bool {
	return slices.ContainsFunc([]unix.Errno{unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EACCES, unix.EINVAL},
		func(no unix.Errno) bool { return errors.Is(err, no) })
}

// AllAddrs returns the IPv4 addresses of all links.
func (h *Handle) AllAddrs() ([]netlink.Addr, error) {
	var addrs []netlink.Addr
	err := retry(func() (err error) {
		addrs, err = h.lib.AddrList(nil, netlink.FAMILY_V4)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list this node's addresses: %w", typed(err))
	}
	return addrs, nil
}
