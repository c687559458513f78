package pod

import (
	"context"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/rtnl"
)

// Readdress takes the former addresses from the Pod end and configures it anew.
// With its last IPv4 address a link loses its IPv4 routes, those that somebody
// else has set there too.
func Readdress(ctx context.Context, netns, ifname string, former []netip.Prefix, cfg IPConfig) error {
	err := inPod(netns, ifname, func(h *rtnl.Handle, index int) error {
		for _, p := range former {
			if err := h.DelAddr(index, &netlink.Addr{IPNet: rtnl.IPNet(p)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(cfg.Addrs) == 0 {
		return err
	}
	return Configure(ctx, netns, ifname, cfg)
}
