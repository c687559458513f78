package leg

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
)

// maxNodeAddrs bounds a Pod's routes to its node.
const maxNodeAddrs = 64

// ipvsDevice bears every Service's address under kube-proxy's IPVS mode.
const ipvsDevice = "kube-ipvs0"

// NodeIP returns the address that the node shows to backends and Pods: the one
// of the configuration, else the source of the node's default route. Code 7 if
// there is neither, or the configured one is not the node's.
func NodeIP(h *rtnl.Handle, svc netconf.Service) (netip.Addr, error) {
	return AddressesOf(h).NodeIP(svc)
}

// NodeAddrs is Addresses.Towards, for a single Pod.
func NodeAddrs(h *rtnl.Handle, l Leg) ([]netip.Addr, error) { return AddressesOf(h).Towards(l) }

// Addresses are a node's own IPv4 addresses, read when one is first needed, and as
// they were then. Under IPVS the kernel lists each Service's: who asks for many Pods,
// or more than once, has it do so once.
type Addresses struct {
	h   *rtnl.Handle
	own func() ([]ownAddr, error)
}

// AddressesOf returns those of the handle's namespace.
func AddressesOf(h *rtnl.Handle) Addresses {
	return Addresses{h, sync.OnceValues(func() ([]ownAddr, error) { return ownAddrs(h) })}
}

// NodeIP is the function of that name.
func (n Addresses) NodeIP(svc netconf.Service) (netip.Addr, error) {
	if !svc.NodeIP.IsValid() {
		// Any address beyond the node's own networks: the kernel is asked, nothing
		// is sent.
		addr, err := n.h.SourceTo(netip.AddrFrom4([4]byte{1, 1, 1, 1}))
		if errors.Is(err, rtnl.ErrNoRoute) {
			return netip.Addr{}, types.NewError(uint(leaseapi.CodeConfig), `key "service.nodeIP" is absent, and the node has no default route to tell its address by`,
				"allowed: one of this node's IPv4 addresses")
		}
		return addr, err
	}
	own, err := n.own()
	if err != nil {
		return netip.Addr{}, err
	}
	var names []string
	for _, o := range own {
		if o.Addr() == svc.NodeIP {
			return svc.NodeIP, nil
		}
		names = append(names, o.Addr().String())
	}
	return netip.Addr{}, types.NewError(uint(leaseapi.CodeConfig), fmt.Sprintf("key \"service.nodeIP\": %s is not an address of this node", svc.NodeIP),
		"allowed: "+strings.Join(names[:min(len(names), 8)], ", "))
}

// Towards returns those that the leg's Pod reaches by the leg, the node IP first,
// 64 at most: those of all links but loopback's 127/8, kube-ipvs0's, what lies in
// a Service network, and what stands beside the Pod on the leg's own device.
func (n Addresses) Towards(l Leg) ([]netip.Addr, error) {
	own, err := n.own()
	if err != nil {
		return nil, err
	}
	near, err := l.neighbourhood(n.h, own)
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	for _, o := range own {
		a := o.Addr()
		if o.inService(l.Service) || near.beside(o) || slices.Contains(l.addrs(), a) || slices.Contains(addrs, a) {
			continue
		}
		addrs = append(addrs, a)
	}
	// The same at every call: CHECK compares.
	slices.SortFunc(addrs, func(a, b netip.Addr) int {
		return cmp.Or(-cmp.Compare(rank(a == l.NodeIP), rank(b == l.NodeIP)), a.Compare(b))
	})
	return addrs[:min(len(addrs), maxNodeAddrs)], nil
}

func rank(first bool) int {
	if first {
		return 1
	}
	return 0
}

// ownAddr is one of the node's addresses, with its network and link.
type ownAddr struct {
	netip.Prefix
	link int
}

func (o ownAddr) inService(svc netconf.Service) bool {
	return slices.ContainsFunc(svc.CIDRs, func(p netip.Prefix) bool { return p.Contains(o.Addr()) })
}

// ownAddrs are the node's IPv4 addresses that others may know it by.
func ownAddrs(h *rtnl.Handle) ([]ownAddr, error) {
	all, err := h.AllAddrs()
	if err != nil {
		return nil, err
	}
	ipvs := 0
	if link, err := h.Link(ipvsDevice); err == nil {
		ipvs = link.Attrs().Index
	} else if !errors.Is(err, rtnl.ErrNotFound) {
		return nil, err
	}
	var own []ownAddr
	for _, a := range all {
		ip, ok := netip.AddrFromSlice(a.IP.To4())
		bits, _ := a.Mask.Size()
		if ok && !ip.IsLoopback() && a.LinkIndex != ipvs {
			own = append(own, ownAddr{netip.PrefixFrom(ip, bits), a.LinkIndex})
		}
	}
	return own, nil
}

// neighbourhood is where the Pod is, seen from the node's addresses.
type neighbourhood struct {
	device int
	// pods are those beside the node, by the device alone.
	pods []netip.Addr
}

func (l Leg) neighbourhood(h *rtnl.Handle, own []ownAddr) (neighbourhood, error) {
	link, err := h.Link(l.Device)
	if err != nil {
		return neighbourhood{}, fmt.Errorf("the device of a leg: %w", err)
	}
	near := neighbourhood{device: link.Attrs().Index}
	for _, pod := range l.addrs() {
		if near.only(own, pod) {
			near.pods = append(near.pods, pod)
		}
	}
	return near, nil
}

// only tells whether the node is in the Pod's network by the leg's device and
// by no other.
func (n neighbourhood) only(own []ownAddr, pod netip.Addr) bool {
	here := false
	for _, o := range own {
		if o.Masked().Contains(pod) {
			if o.link != n.device {
				return false
			}
			here = true
		}
	}
	return here
}

// beside tells whether the Pod has the address on its own network already.
func (n neighbourhood) beside(o ownAddr) bool {
	return o.link == n.device && slices.ContainsFunc(n.pods, o.Masked().Contains)
}
