package rtnl

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Addrs returns the link's addresses of both families.
func (h *Handle) Addrs(index int) ([]netlink.Addr, error) {
	var addrs []netlink.Addr
	err := retry(func() (err error) {
		addrs, err = h.lib.AddrList(byIndex(index), netlink.FAMILY_ALL)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the addresses of link %d: %w", index, typed(err))
	}
	return addrs, nil
}

// AddAddr gives the link an address. One that it has already is no error.
func (h *Handle) AddAddr(index int, addr *netlink.Addr) error {
	err := h.lib.AddrAdd(byIndex(index), addr)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add address %s to link %d: %w", addr.IPNet, index, typed(err))
	}
	return nil
}

// DelAddr takes an address from the link. One that it does not have is no
// error.
func (h *Handle) DelAddr(index int, addr *netlink.Addr) error {
	err := h.lib.AddrDel(byIndex(index), addr)
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("remove address %s from link %d: %w", addr.IPNet, index, typed(err))
	}
	return nil
}

// AddRoute adds a route beside those that stand. One that stands already, equal
// in every part, is no error.
func (h *Handle) AddRoute(route *netlink.Route) error {
	err := h.lib.RouteAddEcmp(route)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add route %s: %w", RouteText(route), err)
	}
	return nil
}

// IPNet is the prefix as netlink and CNI have it, host bits kept.
func IPNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// DelRoute removes a route. One that does not stand is no error.
func (h *Handle) DelRoute(route *netlink.Route) error {
	err := h.lib.RouteDel(route)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("remove route %s: %w", RouteText(route), err)
	}
	return nil
}

// Routes returns the routes of all tables that leave by the link, both
// families.
func (h *Handle) Routes(index int) ([]netlink.Route, error) {
	var routes []netlink.Route
	err := retry(func() (err error) {
		filter := &netlink.Route{LinkIndex: index, Table: unix.RT_TABLE_UNSPEC}
		routes, err = h.lib.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the routes of link %d: %w", index, err)
	}
	return routes, nil
}

// Sysctl is one setting below /proc/sys, its path with slashes.
type Sysctl struct{ Path, Value string }

// SetSysctls writes settings of the namespace, in order, leaving alone those
// that stand already. Settings that the kernel does not have are skipped:
// without IPv6 in the kernel there is nothing to switch off. Names of links
// must not come from outside unchecked.
func (h *Handle) SetSysctls(settings ...Sysctl) error {
	return h.Do(func() error {
		for _, s := range settings {
			if err := writeSysctl(s); err != nil {
				return err
			}
		}
		return nil
	})
}

func writeSysctl(s Sysctl) error {
	path := filepath.Join("/proc/sys", s.Path)
	now, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil && strings.TrimSpace(string(now)) == s.Value {
		return nil
	}
	if err := os.WriteFile(path, []byte(s.Value), 0o600); err != nil {
		return fmt.Errorf("set sysctl %s to %s: %w", s.Path, s.Value, err)
	}
	return nil
}

func byIndex(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

// RouteText names a route for people.
func RouteText(r *netlink.Route) string {
	dst := "default"
	if r.Dst != nil {
		dst = r.Dst.String()
	}
	if r.Gw != nil {
		dst += " via " + r.Gw.String()
	}
	return dst
}
