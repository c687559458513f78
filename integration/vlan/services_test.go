package vlan_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
)

// town is a LAN with the nodes' addresses on its untagged network and Pods on its
// VLANs, a router and a host on each; the nodes' Services are those of IPVS.
// integration has all the cells of such a matrix, with kube-proxy's other modes
// and without VLANs.
type town struct {
	*lab.Lab
	mode  mode
	nets  map[uint16]netip.Prefix
	nodes []*lab.Node
	pods  []townsman
	// all that may be an endpoint.
	all []townsman
}

// townsman is who answers; where it is none, it is its own node.
type townsman struct {
	*lab.Netns
	addr netip.Addr
	node *lab.Node
	pod  *lab.Pod
	conf []byte
}

const answering = 8080

// router is a network's first address.
func router(net netip.Prefix) netip.Addr { return net.Addr().Next() }

func newTown(t *testing.T, m mode) *town {
	t.Helper()
	s := &town{Lab: newLab(t, lab.Options{Server: lab.None}), mode: m, nets: map[uint16]netip.Prefix{
		0: netip.MustParsePrefix("198.18.0.0/16"), 10: netip.MustParsePrefix("198.19.0.0/16"), 20: netip.MustParsePrefix("100.64.0.0/16"),
	}}
	gw := s.Tap("router", 10, 20)
	must(t, gw.SetSysctl("net.ipv4.ip_forward", "1"))
	must(t, gw.AddAddress("eth0", netip.PrefixFrom(s.Gateway(), 16)))
	hosts := map[uint16]*lab.Host{0: s.Host("host0")}
	for _, vid := range []uint16{10, 20} {
		nic := fmt.Sprintf("eth0.%d", vid)
		must(t, gw.AddVLANLink("eth0", nic, vid, ether.Dot1Q))
		must(t, gw.AddAddress(nic, netip.PrefixFrom(router(s.nets[vid]), 16)))
		v := s.VLAN(vid, lab.VLANOptions{Options: lab.Options{Server: lab.None, Subnet: s.nets[vid]}})
		hosts[vid] = v.Host(fmt.Sprintf("host%d", vid))
	}
	for vid, h := range hosts {
		must(t, h.AddRoute(h.Iface, netip.PrefixFrom(netip.IPv4Unspecified(), 0), router(s.nets[vid])))
		s.all = append(s.all, townsman{Netns: h.Netns, addr: h.Addr.Addr()})
	}
	for bridgeNF := range 2 {
		s.node(t, bridgeNF)
	}
	for _, h := range s.all {
		h.Answers(fmt.Sprintf(":%d", answering))
	}
	return s
}

// node adds one, as kube-proxy makes it ready in its mode ipvs.
func (s *town) node(t *testing.T, bridgeNF int) {
	t.Helper()
	n := s.Node(fmt.Sprintf("bridge-nf-%d", bridgeNF), s.mode.node())
	n.Trunk(10, 20)
	must(t, n.AddRoute(n.Iface, netip.PrefixFrom(netip.IPv4Unspecified(), 0), s.Gateway()))
	for key, value := range map[string]int{
		"net.ipv4.ip_forward": 1, "net.ipv4.vs.conntrack": 1, "net.bridge.bridge-nf-call-iptables": bridgeNF,
	} {
		must(t, n.SetSysctl(key, fmt.Sprint(value)))
	}
	h, err := n.Netlink()
	must(t, err)
	must(t, h.LinkAdd(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "kube-ipvs0"}}))
	_, err = n.RunTool(t.Context(), "iptables", `*nat
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
-A OUTPUT -s 10.96.0.0/12 -d 10.96.0.0/12 -j KUBE-MARK-MASQ
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
COMMIT
`, "iptables-restore", "--noflush")
	must(t, err)
	s.nodes = append(s.nodes, n)
	s.all = append(s.all, townsman{Netns: n.Netns, addr: n.Addr.Addr(), node: n})
}

// settle attaches a Pod on the VLAN of the node.
func (s *town) settle(t *testing.T, n *lab.Node, name string, vid uint16) {
	t.Helper()
	net := s.nets[vid]
	first := net.Addr().As4()
	first[2], first[3] = 100+n.Addr.Addr().As4()[3], 1 // each node's own
	last := first
	last[3] = 200
	ipam := object{
		"type": "host-local", "subnet": net, "gateway": router(net), "routes": []object{{"dst": "0.0.0.0/0"}},
		"rangeStart": netip.AddrFrom4(first), "rangeEnd": netip.AddrFrom4(last),
	}
	p := townsman{pod: n.Pod(name), node: n}
	p.conf = network(n, ipam, s.mode.keys(vid), object{"name": fmt.Sprintf("vlan%d", vid), "serviceCIDRs": []string{"10.96.0.0/12"}})
	p.Netns, p.addr = p.pod.Netns, address(t, attach(t, n, p.conf, p.pod))
	p.Answers(fmt.Sprintf(":%d", answering))
	s.pods, s.all = append(s.pods, p), append(s.all, p)
}

// TestPodsOnVLANsReachServicesOfIPVSAndTheirNode: each sort of endpoint once, on
// the Pod's VLAN and on another; seen as docs/services.md promises.
func TestPodsOnVLANsReachServicesOfIPVSAndTheirNode(t *testing.T) {
	t.Parallel()
	for _, m := range modes() {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			s := newTown(t, m)
			before := s.states(t)
			for i, n := range s.nodes {
				for name, vid := range map[string]uint16{"a10": 10, "b10": 10, "c20": 20} {
					s.settle(t, n, name, vid)
				}
				if m == filtering && i == 0 {
					s.settle(t, n, "d0", 0)
				}
			}
			services := s.serve(t)
			must(t, lab.Put(t.Context(), slices.Concat(s.viaServices(services), s.directly())))
			for _, p := range s.pods {
				must(t, p.node.Check(t.Context(), p.conf, p.pod))
			}
			s.unserve(t, services)
			for _, p := range s.pods {
				detach(t, p.node, p.conf, p.pod)
			}
			lab.Eventually(t, "the nodes are as before", func() error {
				if diff := cmp.Diff(before, s.states(t)); diff != "" {
					return errors.New(diff)
				}
				return nil
			})
		})
	}
}

func (s *town) states(t *testing.T) (all []lab.State) {
	t.Helper()
	for _, n := range s.nodes {
		state, err := n.TakeState(t.Context())
		must(t, err)
		all = append(all, state)
	}
	return all
}

// serve gives each a Service's address on every node.
func (s *town) serve(t *testing.T) map[netip.Addr]townsman {
	t.Helper()
	services := map[netip.Addr]townsman{}
	for i, e := range s.all {
		at := netip.AddrFrom4([4]byte{10, 96, 1, byte(i)})
		services[at] = e
		for _, n := range s.nodes {
			must(t, n.AddAddress("kube-ipvs0", netip.PrefixFrom(at, 32)))
			must(t, n.Do(func() error { return viaIPVS(netip.AddrPortFrom(at, 80), netip.AddrPortFrom(e.addr, answering)) }))
		}
	}
	return services
}

// unserve takes the addresses away, which the nodes did not have before.
func (s *town) unserve(t *testing.T, services map[netip.Addr]townsman) {
	t.Helper()
	for at := range maps.Keys(services) {
		for _, n := range s.nodes {
			must(t, n.DelAddress("kube-ipvs0", netip.PrefixFrom(at, 32)))
		}
	}
}

func (s *town) viaServices(services map[netip.Addr]townsman) (all []lab.Question) {
	for at, e := range services {
		for _, p := range s.pods {
			seen := p.node.Addr.Addr()
			if e.Netns == p.node.Netns {
				seen = p.addr // the node knows its Pods
			}
			all = append(all, lab.Question{From: p.Netns, At: netip.AddrPortFrom(at, 80), By: e.Netns, Seen: seen})
		}
	}
	return all
}

// directly is what is asked without a Service, probes of the nodes among it:
// everybody keeps their address.
func (s *town) directly() (all []lab.Question) {
	for _, p := range s.pods {
		for _, e := range s.all {
			if e.pod == nil {
				all = append(all,
					lab.Question{From: p.Netns, At: netip.AddrPortFrom(e.addr, answering), By: e.Netns, Seen: p.addr},
					lab.Question{From: e.Netns, At: netip.AddrPortFrom(p.addr, answering), By: p.Netns, Seen: e.addr})
			}
		}
	}
	return all
}

// The parts of IPVS' generic netlink, linux/ip_vs.h.
const (
	ipvsNewService, ipvsNewDest = 1, 5
	ipvsService, ipvsDest       = 1, 2
)

// viaIPVS makes a Service with one endpoint, as kube-proxy does.
func viaIPVS(at, to netip.AddrPort) error {
	family, err := netlink.GenlFamilyGet("IPVS")
	if err != nil {
		return fmt.Errorf("IPVS: %w", err)
	}
	for _, command := range []uint8{ipvsNewService, ipvsNewDest} {
		req := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_ACK)
		req.AddData(&nl.Genlmsg{Command: command, Version: 1})
		which := nl.NewRtAttr(ipvsService|unix.NLA_F_NESTED, nil)
		which.AddRtAttr(1, nl.Uint16Attr(unix.AF_INET))
		which.AddRtAttr(2, nl.Uint16Attr(unix.IPPROTO_TCP))
		which.AddRtAttr(3, ipvsAddr(at))
		which.AddRtAttr(4, binary.BigEndian.AppendUint16(nil, at.Port()))
		which.AddRtAttr(6, nl.ZeroTerminated("rr"))
		which.AddRtAttr(7, make([]byte, 8)) // flags
		which.AddRtAttr(8, nl.Uint32Attr(0))
		which.AddRtAttr(9, nl.Uint32Attr(^uint32(0)))
		req.AddData(which)
		if command == ipvsNewDest {
			dest := nl.NewRtAttr(ipvsDest|unix.NLA_F_NESTED, nil)
			dest.AddRtAttr(1, ipvsAddr(to))
			dest.AddRtAttr(2, binary.BigEndian.AppendUint16(nil, to.Port()))
			dest.AddRtAttr(3, nl.Uint32Attr(0)) // masquerading
			dest.AddRtAttr(4, nl.Uint32Attr(1)) // weight
			dest.AddRtAttr(5, nl.Uint32Attr(0))
			dest.AddRtAttr(6, nl.Uint32Attr(0))
			dest.AddRtAttr(11, nl.Uint16Attr(unix.AF_INET))
			req.AddData(dest)
		}
		if _, err := req.Execute(unix.NETLINK_GENERIC, 0); err != nil {
			return fmt.Errorf("IPVS: %w", err)
		}
	}
	return nil
}

// ipvsAddr is union nf_inet_addr.
func ipvsAddr(a netip.AddrPort) []byte {
	b := make([]byte, 16)
	copy(b, a.Addr().AsSlice())
	return b
}
