package segment

import (
	"context"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/rtnl"
)

// Gateway is the key "isGateway": it gives the bridge the address, pins its MAC,
// and has the node forward for its family. Another IPv4 address, or an IPv6 one whose
// prefix overlaps, is an error of code 7, and replaced where force says so.
func Gateway(_ context.Context, h *rtnl.Handle, seg Segment, addr *net.IPNet, force bool) error {
	stands, inWay, err := compare(h, seg, addr)
	if err != nil {
		return fmt.Errorf("key \"isGateway\": %w", err)
	}
	if len(inWay) > 0 && !force {
		return configError("isGateway", "true", fmt.Sprintf("bridge %s bears %s, and IPAM's gateway is %s", seg.Bridge, inWay[0].IPNet, addr),
			"an IPAM whose gateway is the bridge's address, or \"forceAddress\": true, which replaces the bridge's")
	}
	if err := h.SetSysctls(gatewaySysctls(seg, addr)...); err != nil {
		return fmt.Errorf("key \"isGateway\": %w", err)
	}
	for i := range inWay {
		if err := h.DelAddr(seg.Index, &inWay[i]); err != nil {
			return fmt.Errorf("key \"forceAddress\": %w", err)
		}
	}
	if stands {
		return nil
	}
	if err := h.AddAddr(seg.Index, &netlink.Addr{IPNet: addr}); err != nil {
		return fmt.Errorf("key \"isGateway\": %w", err)
	}
	if err := pin(h, seg); err != nil {
		return fmt.Errorf("key \"isGateway\": %w", err)
	}
	return nil
}

// pin keeps the MAC that the bridge has now: that of a bridge whose only ports
// are Pods changes as they come and go, and those that stay would lose their
// gateway. One that Podlan made was made with it pinned.
func pin(h *rtnl.Handle, seg Segment) error {
	if seg.Made {
		return nil
	}
	link, err := h.LinkByIndex(seg.Index)
	if err != nil {
		return err
	}
	return h.SetMAC(seg.Index, link.Attrs().HardwareAddr)
}

// compare tells whether the bridge has the address, and which others are in its
// way.
func compare(h *rtnl.Handle, seg Segment, addr *net.IPNet) (stands bool, inWay []netlink.Addr, err error) {
	addrs, err := h.Addrs(seg.Index)
	if err != nil {
		return false, nil, err
	}
	is4 := addr.IP.To4() != nil
	for _, a := range addrs {
		switch {
		case a.IPNet.String() == addr.String():
			stands = true
		case (a.IP.To4() != nil) != is4:
		case is4, a.Contains(addr.IP), addr.Contains(a.IP):
			inWay = append(inWay, a)
		}
	}
	return stands, inWay, nil
}

// gatewaySysctls lets the node forward, and gives a bridge that Podlan made the
// IPv6 that it was made without.
func gatewaySysctls(seg Segment, addr *net.IPNet) []rtnl.Sysctl {
	if addr.IP.To4() != nil {
		return []rtnl.Sysctl{{Path: "net/ipv4/ip_forward", Value: "1"}}
	}
	forward := rtnl.Sysctl{Path: "net/ipv6/conf/all/forwarding", Value: "1"}
	if !seg.Made {
		return []rtnl.Sysctl{forward}
	}
	return []rtnl.Sysctl{{Path: "net/ipv6/conf/" + seg.Bridge + "/disable_ipv6", Value: "0"}, forward}
}
