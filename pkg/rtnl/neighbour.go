package rtnl

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// SetNeighbour binds an address to a hardware address on the link for good: the
// kernel neither asks for it nor forgets it while the link is up. What was known
// of the address is replaced.
func (h *Handle) SetNeighbour(index int, addr netip.Addr, mac net.HardwareAddr) error {
	n := permanent(index, addr)
	n.HardwareAddr = mac
	if err := h.lib.NeighSet(n); err != nil {
		return fmt.Errorf("bind %s to %s on link %d: %w", addr, mac, index, typed(err))
	}
	return nil
}

// DelNeighbour forgets the address on the link; one that is not known, or a link
// that is gone, is no error.
func (h *Handle) DelNeighbour(index int, addr netip.Addr) error {
	err := typed(h.lib.NeighDel(permanent(index, addr)))
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("forget %s on link %d: %w", addr, index, err)
	}
	return nil
}

// Neighbours returns the addresses that are bound for good on the link.
func (h *Handle) Neighbours(index int) (map[netip.Addr]net.HardwareAddr, error) {
	var all []netlink.Neigh
	err := retry(func() (err error) {
		all, err = h.lib.NeighList(index, netlink.FAMILY_ALL)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the neighbours of link %d: %w", index, typed(err))
	}
	bound := make(map[netip.Addr]net.HardwareAddr)
	for _, n := range all {
		if addr, ok := netip.AddrFromSlice(n.IP); ok && n.State&netlink.NUD_PERMANENT != 0 {
			bound[addr.Unmap()] = n.HardwareAddr
		}
	}
	return bound, nil
}

func permanent(index int, addr netip.Addr) *netlink.Neigh {
	family := netlink.FAMILY_V6
	if addr.Is4() {
		family = netlink.FAMILY_V4
	}
	return &netlink.Neigh{LinkIndex: index, Family: family, State: netlink.NUD_PERMANENT, IP: addr.AsSlice()}
}
