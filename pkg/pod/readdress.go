package pod

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/rtnl"
)

// Readdress takes the former addresses from the Pod end and configures it anew.
// With its last IPv4 address a link loses its IPv4 routes, those that somebody
// else has set there too.
func Readdress(ctx context.Context, netns, ifname string, former []netip.Prefix, cfg IPConfig) error {
	h, err := rtnl.At(netns)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.Link(ifname)
	if err != nil {
		return fmt.Errorf("in the Pod: %w", err)
	}
	for _, p := range former {
		if err := h.DelAddr(link.Attrs().Index, &netlink.Addr{IPNet: rtnl.IPNet(p)}); err != nil {
			return fmt.Errorf("in the Pod: %w", err)
		}
	}
	if len(cfg.Addrs) == 0 {
		return nil
	}
	return Configure(ctx, netns, ifname, cfg)
}
