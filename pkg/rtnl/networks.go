package rtnl

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Networks returns the IPv4 networks in which the namespace has addresses, but
// for loopback's and link-local ones.
func (h *Handle) Networks() ([]netip.Prefix, error) {
	var addrs []netlink.Addr
	err := retry(func() (err error) {
		addrs, err = h.lib.AddrList(nil, netlink.FAMILY_V4)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list this node's addresses: %w", typed(err))
	}
	var networks []netip.Prefix
	for _, a := range addrs {
		ip, ok := netip.AddrFromSlice(a.IP.To4())
		bits, _ := a.Mask.Size()
		if ok && ip.IsGlobalUnicast() {
			networks = append(networks, netip.PrefixFrom(ip, bits).Masked())
		}
	}
	return networks, nil
}
