package leg

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
)

// podRoute is one by the leg, onlink: the gateway is in no network of the Pod's.
func podRoute(index int, dst netip.Prefix, source netip.Addr) *netlink.Route {
	return &netlink.Route{
		LinkIndex: index, Dst: rtnl.IPNet(dst), Gw: Gateway().AsSlice(), Src: source.AsSlice(),
		Flags: int(netlink.FLAG_ONLINK), Protocol: Origin,
	}
}

// wanted are the destinations by the leg.
func (p PodSide) wanted() []netip.Prefix {
	var dsts []netip.Prefix
	for _, cidr := range p.CIDRs {
		if cidr.Addr().Is4() {
			dsts = append(dsts, cidr)
		}
	}
	for _, a := range p.NodeAddrs {
		if a.Is4() {
			dsts = append(dsts, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return dsts
}

// podRoutes are the IPv4 routes of a Pod's main table, apart by whose they are.
type podRoutes struct {
	// ours are those by this leg, by destination.
	ours map[string]netlink.Route
	// elsewhere: another interface has the Pod's default route, and had it before
	// this one became a leg.
	elsewhere bool
}

func lookAtRoutes(h *rtnl.Handle, index int) (podRoutes, error) {
	all, err := h.RoutesIn(unix.RT_TABLE_MAIN)
	if err != nil {
		return podRoutes{}, err
	}
	s := podRoutes{ours: make(map[string]netlink.Route)}
	for _, r := range all {
		switch {
		case r.LinkIndex == index && r.Protocol == Origin:
			s.ours[r.Dst.String()] = r
		case r.LinkIndex != index && isDefault(r):
			s.elsewhere = true
		}
	}
	s.elsewhere = s.elsewhere && len(s.ours) == 0
	return s, nil
}

func isDefault(r netlink.Route) bool {
	if r.Dst == nil {
		return true
	}
	ones, _ := r.Dst.Mask.Size()
	return ones == 0
}

// setRoutes puts ours behind others' to the same destination: what IPAM or the
// configuration says of it goes on.
func setRoutes(h *rtnl.Handle, index int, p PodSide, source netip.Addr) error {
	stand, err := lookAtRoutes(h, index)
	if err != nil || stand.elsewhere {
		return err
	}
	for _, dst := range p.wanted() {
		if has, ok := stand.ours[dst.String()]; ok && has.Src.Equal(source.AsSlice()) {
			delete(stand.ours, dst.String())
		}
	}
	for _, stale := range stand.ours {
		err = errors.Join(err, h.DelRoute(&stale))
	}
	for _, dst := range p.wanted() {
		err = errors.Join(err, h.AppendRoute(podRoute(index, dst, source)))
	}
	return err
}

func verifyRoutes(h *rtnl.Handle, index int, p PodSide, source netip.Addr) error {
	stand, err := lookAtRoutes(h, index)
	if err != nil || stand.elsewhere {
		return err
	}
	for _, dst := range p.wanted() {
		if has, ok := stand.ours[dst.String()]; !ok || !has.Src.Equal(source.AsSlice()) {
			return fmt.Errorf("%w: it lacks the route %s via %s from %s", errDiffers, dst, Gateway(), source)
		}
	}
	return nil
}
