package leg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/rtnl"
)

// Origin is the rtm_protocol of Podlan's routes, by which they are known again.
const Origin netlink.RouteProtocol = 168

const forwarding = "net/ipv4/ip_forward"

// routes are a host route and a permanent neighbour for each address of a Pod
// that is not beside the node on the leg's device anyway. The node forwards, as
// isGateway has it.
type routes struct{ Addresses }

func (r routes) add(_ context.Context, l Leg, _ Legs) error {
	if err := r.h.SetSysctls(rtnl.Sysctl{Path: forwarding, Value: "1"}); err != nil {
		return fmt.Errorf("leg: %w", err)
	}
	return r.put(l, l.addrs())
}

// put makes the way to these addresses of the leg's.
func (r routes) put(l Leg, pods []netip.Addr) error {
	own, err := r.own()
	if err != nil {
		return err
	}
	near, err := l.neighbourhood(r.h, own)
	if err != nil {
		return err
	}
	for _, pod := range pods {
		if slices.Contains(near.pods, pod) {
			continue
		}
		if err := r.untaken(pod); err != nil {
			return err
		}
		// The neighbour first: no frame asks for the Pod in the node's name.
		if err := r.h.SetNeighbour(near.device, pod, l.MAC); err != nil {
			return err
		}
		if err := r.h.ReplaceRoute(hostRoute(near.device, pod, l.NodeIP)); err != nil {
			return fmt.Errorf("by %s, with %s as the source: %w", l.Device, l.NodeIP, err)
		}
	}
	return nil
}

func hostRoute(device int, pod, source netip.Addr) *netlink.Route {
	return &netlink.Route{
		LinkIndex: device, Dst: rtnl.IPNet(netip.PrefixFrom(pod, pod.BitLen())),
		Scope: netlink.SCOPE_LINK, Src: source.AsSlice(), Protocol: Origin,
	}
}

// untaken refuses to replace a host route that somebody else has made.
func (r routes) untaken(pod netip.Addr) error {
	route, ok, err := r.h.HostRoute(pod)
	if err != nil || !ok || route.Protocol == Origin {
		return err
	}
	return types.NewError(uint(leaseapi.CodeConfig), fmt.Sprintf("this node has a route to %s, the Pod's address, that Podlan did not make", pod),
		fmt.Sprintf("allowed: another address; or, where it is not needed, ip route del %s; or \"service\": {\"mode\": \"off\"}", rtnl.RouteText(&route)))
}

// remove leaves to another leg with the same address what that one needs: an
// earlier sandbox's DEL may come after the next one's ADD.
func (r routes) remove(_ context.Context, l Leg, others []Leg) error {
	var failed error
	for _, pod := range l.addrs() {
		if !r.inherited(l, pod, others) {
			failed = errors.Join(failed, r.take(l, pod))
		}
	}
	return failed
}

// inherited gives what stands for the address to another leg that has it; false
// if none does, or none can.
func (r routes) inherited(l Leg, pod netip.Addr, others []Leg) bool {
	heir := slices.IndexFunc(others, func(o Leg) bool { return o.Device == l.Device && slices.Contains(o.addrs(), pod) })
	return heir >= 0 && r.put(others[heir], []netip.Addr{pod}) == nil
}

func (r routes) take(l Leg, pod netip.Addr) error {
	link, err := r.h.Link(l.Device)
	if errors.Is(err, rtnl.ErrNotFound) {
		return nil // and with it all that was on it
	}
	if err != nil {
		return err
	}
	index := link.Attrs().Index
	route := hostRoute(index, pod, netip.Addr{}) // from whatever source
	return errors.Join(r.h.DelRoute(route), r.h.DelNeighbour(index, pod))
}

func (r routes) restore(_ context.Context, legs []Leg) error {
	failed := r.h.SetSysctls(rtnl.Sysctl{Path: forwarding, Value: "1"})
	s, err := r.standing(legs)
	if err != nil {
		return errors.Join(failed, err)
	}
	missing := s.missing(legs)
	for _, l := range legs {
		pods := slices.DeleteFunc(l.addrs(), func(pod netip.Addr) bool { return !missing[pod] })
		if len(pods) == 0 {
			continue
		}
		if err := r.put(l, pods); err != nil {
			failed = errors.Join(failed, fmt.Errorf("port %s: %w", l.Port, err))
		}
	}
	return failed
}

func (r routes) intact(_ context.Context, legs []Leg) (bool, error) {
	if len(legs) == 0 {
		return true, nil
	}
	if forwards, err := r.h.ReadSysctl(forwarding); err != nil || forwards != "1" {
		return false, err
	}
	s, err := r.standing(legs)
	return err == nil && len(s.missing(legs)) == 0, err
}

// standing is what the kernel has of the node's side.
type standing struct {
	routes map[netip.Addr]netlink.Route
	// near and bound are by device, without those that are gone.
	near  map[string]neighbourhood
	bound map[string]map[netip.Addr]net.HardwareAddr
	own   []ownAddr
}

func (r routes) standing(legs []Leg) (standing, error) {
	s := standing{
		routes: make(map[netip.Addr]netlink.Route),
		near:   make(map[string]neighbourhood), bound: make(map[string]map[netip.Addr]net.HardwareAddr),
	}
	var err error
	if s.own, err = r.own(); err != nil {
		return s, err
	}
	ours, err := r.h.RoutesOf(Origin)
	if err != nil {
		return s, err
	}
	for _, route := range ours {
		if dst, ok := netip.AddrFromSlice(route.Dst.IP); ok {
			s.routes[dst.Unmap()] = route
		}
	}
	for _, l := range legs {
		if s.near[l.Device].device != 0 {
			continue
		}
		near, err := l.neighbourhood(r.h, s.own)
		if err == nil {
			s.near[l.Device] = near
			s.bound[l.Device], err = r.h.Neighbours(near.device)
		}
		if err != nil && !errors.Is(err, rtnl.ErrNotFound) {
			return s, err
		}
	}
	return s, nil
}

// missing are the addresses of which no leg has the way that it needs: of two
// sandboxes of one Pod, one has it.
func (s standing) missing(legs []Leg) map[netip.Addr]bool {
	missing := make(map[netip.Addr]bool)
	for _, l := range legs {
		for _, pod := range l.addrs() {
			missing[pod] = true
		}
	}
	for _, l := range legs {
		for _, pod := range l.addrs() {
			if s.has(l, pod) {
				delete(missing, pod)
			}
		}
	}
	return missing
}

func (s standing) has(l Leg, pod netip.Addr) bool {
	near := s.near[l.Device]
	if near.device == 0 {
		return false
	}
	if near.only(s.own, pod) {
		return true
	}
	route, ok := s.routes[pod]
	return ok && route.LinkIndex == near.device && route.Src.Equal(l.NodeIP.AsSlice()) && bytes.Equal(s.bound[l.Device][pod], l.MAC)
}
