package leg_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// kept are a node's routes and permanent neighbours, in text.
func kept(t *testing.T, n *rtnltest.Netns) []string {
	t.Helper()
	routes, err := n.RoutesIn(254)
	must(t, err)
	var all []string
	for _, r := range routes {
		all = append(all, fmt.Sprintf("%s dev %d src %s", rtnl.RouteText(&r), r.LinkIndex, r.Src))
	}
	links, err := n.Links()
	must(t, err)
	for _, l := range links {
		bound, err := n.Neighbours(l.Attrs().Index)
		must(t, err)
		for addr, mac := range bound {
			all = append(all, fmt.Sprintf("%s is %s on %s", addr, mac, l.Attrs().Name))
		}
	}
	slices.Sort(all)
	return all
}

// twin is another sandbox's leg with the same address.
func twin(l leg.Leg, device string) leg.Leg {
	l.Port, l.Device, l.MAC = "vethpl000000002", device, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	return l
}

func TestANodeKeepsNothingOfAPodThatIsGone(t *testing.T) {
	p := apart(t)
	stood := kept(t, p.node)
	must(t, p.routes.Remove(t.Context(), p.leg, none))
	before := kept(t, p.node)
	if slices.Equal(before, stood) {
		t.Fatal("the leg is none")
	}
	must(t, p.routes.Add(t.Context(), p.leg, none))
	must(t, p.routes.Check(t.Context(), p.leg))
	must(t, p.routes.Remove(t.Context(), p.leg, none))
	must(t, p.routes.Remove(t.Context(), p.leg, none)) // once more is no error
	if after := kept(t, p.node); !slices.Equal(after, before) {
		t.Errorf("before\n%s\nafter\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	wantCode(t, p.routes.Check(t.Context(), p.leg), leaseapi.CodeChanged)
	gone := p.leg
	gone.Device = "lan7"
	must(t, p.routes.Remove(t.Context(), gone, none))
	if got := p.node.Sysctl(t, "net/ipv4/ip_forward"); got != "1" {
		t.Errorf("ip_forward is %s", got)
	}
}

// TestOneAddressHasOneLeg: on two segments it is refused; on one it is an earlier
// sandbox's, whose late DEL leaves the next one's leg alone.
func TestOneAddressHasOneLeg(t *testing.T) {
	p := apart(t)
	p.node.Bridge(t, "lan1")
	stood := kept(t, p.node)
	wantCode(t, p.routes.Add(t.Context(), twin(p.leg, "lan1"), these(p.leg)), leaseapi.CodeConfig)
	must(t, p.routes.Remove(t.Context(), twin(p.leg, "lan1"), these(p.leg))) // as a failed ADD undoes itself
	if got := kept(t, p.node); !slices.Equal(got, stood) {
		t.Errorf("was\n%s\nis\n%s", strings.Join(stood, "\n"), strings.Join(got, "\n"))
	}
	next := twin(p.leg, "lan0")
	must(t, p.routes.Add(t.Context(), next, these(p.leg)))
	must(t, p.routes.Check(t.Context(), next))
	must(t, p.routes.Remove(t.Context(), p.leg, these(next)))
	must(t, p.routes.Check(t.Context(), next))
}

func TestARouteOfOthersIsNotReplaced(t *testing.T) {
	p := apart(t)
	must(t, p.routes.Remove(t.Context(), p.leg, none))
	theirs := &netlink.Route{LinkIndex: p.node.Must(t, "eth0").Attrs().Index, Dst: rtnl.IPNet(netip.MustParsePrefix(podAddr + "/32")), Scope: netlink.SCOPE_LINK}
	must(t, p.node.AddRoute(theirs))
	before := kept(t, p.node)
	wantCode(t, p.routes.Add(t.Context(), p.leg, none), leaseapi.CodeConfig)
	must(t, p.routes.Remove(t.Context(), p.leg, none))
	if after := kept(t, p.node); !slices.Equal(after, before) {
		t.Errorf("before\n%s\nafter\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
}

func TestANodesSideIsRestored(t *testing.T) {
	p := apart(t)
	lan := p.node.Must(t, "lan0").Attrs().Index
	host := &netlink.Route{LinkIndex: lan, Dst: rtnl.IPNet(netip.MustParsePrefix(podAddr + "/32")), Scope: netlink.SCOPE_LINK, Protocol: leg.Origin}
	changes := map[string]func(){
		"the route gone": func() { must(t, p.node.DelRoute(host)) },
		"another source": func() {
			p.node.Address(t, "eth0", "192.0.2.11/24")
			other := *host
			other.Src = net.ParseIP("192.0.2.11")
			must(t, p.node.ReplaceRoute(&other))
		},
		"another device": func() {
			other := *host
			other.LinkIndex = p.node.Bridge(t, "lan9")
			must(t, p.node.ReplaceRoute(&other))
		},
		"the neighbour gone": func() { must(t, p.node.DelNeighbour(lan, p.leg.Addrs[0].Addr())) },
		"another neighbour": func() {
			must(t, p.node.SetNeighbour(lan, p.leg.Addrs[0].Addr(), net.HardwareAddr{2, 0, 0, 0, 0, 9}))
		},
		"the bridge down and up": func() {
			must(t, p.node.SetDown(lan))
			must(t, p.node.SetUp(lan))
		},
		"the node does not forward": func() {
			must(t, p.node.SetSysctls(rtnl.Sysctl{Path: "net/ipv4/ip_forward", Value: "0"}))
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			p.restores(t, false, p.leg)
			change()
			wantCode(t, p.routes.Check(t.Context(), p.leg), leaseapi.CodeChanged)
			p.restores(t, true, p.leg)
			must(t, p.routes.Check(t.Context(), p.leg))
		})
	}
}

func (p *place) restores(t *testing.T, want bool, legs ...leg.Leg) {
	t.Helper()
	intact, err := p.routes.Intact(t.Context(), legs)
	must(t, err)
	restored, err := p.routes.Restore(t.Context(), these(legs...))
	must(t, err)
	if restored != want || intact == want {
		t.Errorf("intact %t, restored %t; want the second to be %t", intact, restored, want)
	}
}

// TestWhatOnePodLacksIsNotTheOthersLoss: the device of one leg is gone.
func TestWhatOnePodLacksIsNotTheOthersLoss(t *testing.T) {
	p := apart(t)
	must(t, p.routes.Remove(t.Context(), p.leg, none))
	gone := twin(p.leg, "lan7")
	gone.Addrs = []netip.Prefix{netip.MustParsePrefix("198.18.1.7/16")}
	_, err := p.routes.Restore(t.Context(), these(gone, p.leg))
	if err == nil || !strings.Contains(err.Error(), "lan7") {
		t.Errorf("got %v, want an error about lan7", err)
	}
	must(t, p.routes.Check(t.Context(), p.leg))
}

// TestOfTwoSandboxesOfOnePodEitherIsIntact: their records stand side by side
// while the DEL of the first is on its way.
func TestOfTwoSandboxesOfOnePodEitherIsIntact(t *testing.T) {
	p := apart(t)
	stood := kept(t, p.node)
	third := twin(p.leg, "lan0")
	third.Port, third.Addrs = "vethpl000000003", []netip.Prefix{netip.MustParsePrefix("198.18.1.7/16")}
	for _, all := range [][]leg.Leg{{twin(p.leg, "lan0"), p.leg, third}, {third, p.leg, twin(p.leg, "lan0")}} {
		_, err := p.routes.Restore(t.Context(), these(all...))
		must(t, err)
		p.restores(t, false, all...)
		must(t, p.routes.Remove(t.Context(), third, these(p.leg, twin(p.leg, "lan0"))))
	}
	if got := kept(t, p.node); !slices.Equal(got, stood) {
		t.Errorf("was\n%s\nis\n%s", strings.Join(stood, "\n"), strings.Join(got, "\n"))
	}
}

// TestABridgeInThePodsNetworkNeedsNoHostRoute: the node is beside the Pod, as its
// gateway is; unless another NIC is in that network, too.
func TestABridgeInThePodsNetworkNeedsNoHostRoute(t *testing.T) {
	p := apart(t)
	must(t, p.routes.Remove(t.Context(), p.leg, none))
	p.node.Address(t, "lan0", "198.18.0.2/16")
	before := kept(t, p.node)
	must(t, p.routes.Add(t.Context(), p.leg, none))
	if after := kept(t, p.node); !slices.Equal(after, before) {
		t.Errorf("before\n%s\nafter\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	p.restores(t, false, p.leg)
	wantTalk(t, "a probe", p.node, p.pod, podAddr+":80", podAddr+":80", "198.18.0.2")
	wantTalk(t, "the gateway", p.pod, p.node, "198.18.0.2:53", "198.18.0.2:53", podAddr)
	wantTalk(t, "the node", p.pod, p.node, nodeAddr+":53", nodeAddr+":53", podAddr)

	p.node.Address(t, "eth0", "198.18.0.3/16")
	p.restores(t, true, p.leg)
	wantTalk(t, "a probe of two", p.node, p.pod, podAddr+":80", podAddr+":80", nodeAddr)
}

func TestTheNodesAddressIsFound(t *testing.T) {
	p := apart(t)
	wantIP := func(svc netconf.Service, want string) {
		t.Helper()
		got, err := leg.NodeIP(p.node.Handle, svc)
		if err != nil || got.String() != want {
			t.Errorf("got %s, %v; want %s", got, err, want)
		}
	}
	wantIP(netconf.Service{}, nodeAddr)
	p.node.Address(t, "lo", "192.0.2.77/32")
	wantIP(netconf.Service{NodeIP: netip.MustParseAddr("192.0.2.77")}, "192.0.2.77")
	router := &netlink.Route{LinkIndex: p.node.Must(t, "eth0").Attrs().Index, Gw: net.ParseIP(hostOnNode), Src: net.ParseIP("192.0.2.77")}
	must(t, p.node.ReplaceRoute(router))
	wantIP(netconf.Service{}, "192.0.2.77")

	_, err := leg.NodeIP(p.node.Handle, netconf.Service{NodeIP: netip.MustParseAddr("192.0.2.99")})
	wantCode(t, err, leaseapi.CodeConfig)
	if err == nil || !strings.Contains(err.Error(), nodeAddr) {
		t.Errorf("%v does not name what the node has", err)
	}
	must(t, p.node.DelRoute(router))
	_, err = leg.NodeIP(p.node.Handle, netconf.Service{})
	wantCode(t, err, leaseapi.CodeConfig)
	if err == nil || !strings.Contains(err.Error(), "service.nodeIP") {
		t.Errorf("%v does not name the key", err)
	}
}

func TestAPodKnowsItsNodesAddressesButThoseOfServices(t *testing.T) {
	p := apart(t)
	p.node.Bridge(t, "docker0")
	p.node.Bridge(t, "kube-ipvs0")
	p.node.Bridge(t, "nodelocaldns")
	for _, a := range []struct{ link, addr string }{
		{"docker0", "172.17.0.1/16"},
		{"kube-ipvs0", "203.0.113.1/32"},
		{"nodelocaldns", "169.254.20.10/32"},
		{"nodelocaldns", "10.96.0.10/32"},
		{"lo", "192.0.2.77/32"},
		{"eth0", "2001:db8::10/64"},
		{"lan0", "198.18.0.2/16"},
		{"lan0", "198.19.0.1/24"},
	} {
		p.node.Address(t, a.link, a.addr)
	}
	p.leg.NodeIP = netip.MustParseAddr("192.0.2.77")
	addrs, err := leg.NodeAddrs(p.node.Handle, p.leg)
	must(t, err)
	var got []string
	for _, a := range addrs {
		got = append(got, a.String())
	}
	// Of the bridge's own, the Pod has 198.18.0.2 beside it, 198.19.0.1 not.
	want := []string{"192.0.2.77", "169.254.20.10", "172.17.0.1", nodeAddr, "198.19.0.1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for i := range 70 {
		p.node.Address(t, "docker0", fmt.Sprintf("172.30.0.%d/32", i+1))
	}
	if addrs, err = leg.NodeAddrs(p.node.Handle, p.leg); err != nil || len(addrs) != 64 || addrs[0] != p.leg.NodeIP {
		t.Errorf("%d addresses, the first %v (%v); want 64, the node's first", len(addrs), addrs[:1], err)
	}
}

// TestTheNodesAddressesAreReadOnce for all Pods: under IPVS they are thousands.
func TestTheNodesAddressesAreReadOnce(t *testing.T) {
	p := apart(t)
	own := leg.AddressesOf(p.node.Handle)
	for _, svc := range []netconf.Service{p.leg.Service, {NodeIP: p.leg.NodeIP}} {
		_, err := own.NodeIP(svc)
		must(t, err)
	}
	p.node.Address(t, "lo", "192.0.2.77/32")
	for addrs, want := range map[*leg.Addresses]int{&own: 1, new(leg.AddressesOf(p.node.Handle)): 2} {
		if got, err := addrs.Towards(p.leg); err != nil || len(got) != want {
			t.Errorf("got %v, want %d (%v)", got, want, err)
		}
	}
}
