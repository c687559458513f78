package leg_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

func (p *place) configure(t *testing.T) error {
	t.Helper()
	return leg.ConfigurePod(t.Context(), p.pod.Path, "eth0", p.side)
}

func (p *place) verify(t *testing.T) error {
	t.Helper()
	return leg.VerifyPod(t.Context(), p.pod.Path, "eth0", p.side)
}

func podTables(t *testing.T, n *rtnltest.Netns) *nftables.Conn {
	t.Helper()
	conn, err := nftables.New(nftables.WithNetNSFd(n.Fd()))
	must(t, err)
	return conn
}

// downAndUp takes all routes from the Pod, of which only its own come back.
func (p *place) downAndUp(t *testing.T) {
	t.Helper()
	index := p.pod.Must(t, "eth0").Attrs().Index
	must(t, p.pod.SetDown(index))
	must(t, p.pod.SetUp(index))
	byDefault(t, p.pod, "eth0", hostOnPods)
}

// TestWhatIsChangedInThePodIsFoundAndPutBack: by CHECK, and by a second call.
func TestWhatIsChangedInThePodIsFoundAndPutBack(t *testing.T) {
	p := apart(t)
	index := p.pod.Must(t, "eth0").Attrs().Index
	route := func(dst string) *netlink.Route {
		return &netlink.Route{LinkIndex: index, Dst: rtnl.IPNet(netip.MustParsePrefix(dst)), Gw: leg.Gateway().AsSlice(), Protocol: leg.Origin}
	}
	changes := map[string]func() error{
		"the neighbour gone": func() error { return p.pod.DelNeighbour(index, leg.Gateway()) },
		"another neighbour": func() error {
			return p.pod.SetNeighbour(index, leg.Gateway(), net.HardwareAddr{2, 0, 0, 0, 0, 9})
		},
		"no route to Services": func() error { return p.pod.DelRoute(route("10.96.0.0/12")) },
		"no route to the node": func() error { return p.pod.DelRoute(route(nodeAddr + "/32")) },
		"no way back": func() error {
			back := route("0.0.0.0/0")
			back.Table = 1684
			return p.pod.DelRoute(back)
		},
		"no rule": func() error {
			return p.pod.DelMarkRule(rtnl.MarkRule{Mark: 0x40000000, Table: 1684, Priority: 1684})
		},
		"no nft table": func() error {
			conn := podTables(t, p.pod)
			conn.DelTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "podlan"})
			return conn.Flush()
		},
		"no nft rules": func() error {
			conn := podTables(t, p.pod)
			conn.FlushTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "podlan"})
			return conn.Flush()
		},
		"the interface down and up": func() error {
			p.downAndUp(t)
			return nil
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			must(t, p.verify(t))
			must(t, change())
			wantCode(t, p.verify(t), leaseapi.CodeChanged)
			must(t, p.configure(t))
			must(t, p.verify(t))
		})
	}
	p.nodePort(t)
	wantTalk(t, "a NodePort", p.host, p.pod, podAddr+":80", nodeAddr+":30080", hostOnNode)
}

// TestARunningPodFollowsItsClusterAndItsNode: new networks of Services, another
// address of the node's, another of its own, another MAC of the bridge.
func TestARunningPodFollowsItsClusterAndItsNode(t *testing.T) {
	p := apart(t)
	p.nodePort(t)
	p.side.CIDRs = []netip.Prefix{netip.MustParsePrefix("172.20.0.0/16"), netip.MustParsePrefix("2001:db8::/108")}
	p.side.NodeAddrs = []netip.Addr{netip.MustParseAddr("192.0.2.11"), p.leg.NodeIP}
	wantCode(t, p.verify(t), leaseapi.CodeChanged)
	must(t, p.configure(t))
	must(t, p.verify(t))
	p.wantRoutes(t, "172.20.0.0/16", "192.0.2.11/32", nodeAddr+"/32")

	index := p.pod.Must(t, "eth0").Attrs().Index
	must(t, p.pod.DelAddr(index, &netlink.Addr{IPNet: rtnl.IPNet(p.leg.Addrs[0])}))
	p.pod.Address(t, "eth0", "198.18.1.6/16")
	byDefault(t, p.pod, "eth0", hostOnPods) // all routes went with the last address
	p.side.Addrs = []netip.Prefix{netip.MustParsePrefix("fd00::6/64"), netip.MustParsePrefix("198.18.1.6/16")}
	must(t, p.node.SetMAC(p.node.Must(t, "lan0").Attrs().Index, net.HardwareAddr{2, 0, 0, 0, 7, 7}))
	p.side.LegMAC = net.HardwareAddr{2, 0, 0, 0, 7, 7}
	must(t, p.configure(t))
	must(t, p.verify(t))
	p.wantRoutes(t, "172.20.0.0/16", "192.0.2.11/32", nodeAddr+"/32")
}

// wantRoutes expects these by the leg, and no others.
func (p *place) wantRoutes(t *testing.T, want ...string) {
	t.Helper()
	routes, err := p.pod.RoutesOf(leg.Origin)
	must(t, err)
	have := map[string]bool{}
	for _, r := range routes {
		have[r.Dst.String()] = true
	}
	for _, w := range want {
		if !have[w] {
			t.Errorf("the Pod lacks a route to %s", w)
		}
	}
	if len(routes) != len(want) {
		t.Errorf("the Pod has the routes %v by the leg, want %v", have, want)
	}
}

// TestAPodWithoutIPv4HasNoLeg, yet.
func TestAPodWithoutIPv4HasNoLeg(t *testing.T) {
	p := apart(t)
	p.side.Addrs = []netip.Prefix{netip.MustParsePrefix("fd00::6/64")}
	pod := rtnltest.New(t)
	must(t, leg.ConfigurePod(t.Context(), pod.Path, "eth0", p.side))
	must(t, leg.VerifyPod(t.Context(), pod.Path, "eth0", p.side))
}

// TestASecondInterfaceLeavesServicesToTheFirst: what another network plugin has
// made the Pod's own way stays so; only answers return by where the question came.
func TestASecondInterfaceLeavesServicesToTheFirst(t *testing.T) {
	p := apart(t)
	pod, other := rtnltest.New(t), rtnltest.New(t)
	other.Cable(t, "host0", pod, "eth0")
	pod.Address(t, "eth0", "203.0.113.5/24")
	byDefault(t, pod, "eth0", "203.0.113.1")
	lan := p.node.Must(t, "lan0").Attrs().Index
	must(t, p.node.SetMaster(p.node.Cable(t, "vethpl000000002", pod, "net1"), lan))
	pod.Address(t, "net1", "198.18.1.7/16")
	p.filter(t, pod, "0")
	p.leg.Port, p.leg.MAC = "vethpl000000002", pod.Must(t, "net1").Attrs().HardwareAddr
	p.leg.Addrs = []netip.Prefix{netip.MustParsePrefix("198.18.1.7/16")}
	p.pod, p.side.Addrs = pod, p.leg.Addrs
	must(t, p.routes.Add(t.Context(), p.leg, none))

	must(t, leg.ConfigurePod(t.Context(), pod.Path, "net1", p.side))
	must(t, leg.VerifyPod(t.Context(), pod.Path, "net1", p.side))
	p.wantRoutes(t)
	wantTalk(t, "a probe", p.node, pod, "198.18.1.7:80", "198.18.1.7:80", nodeAddr)
}

// TestALegStaysOneWhenAnotherInterfaceComes: with a default route of its own.
func TestALegStaysOneWhenAnotherInterfaceComes(t *testing.T) {
	p, other := apart(t), rtnltest.New(t)
	other.Cable(t, "host0", p.pod, "net1")
	p.pod.Address(t, "net1", "203.0.113.5/24")
	must(t, p.pod.AddRoute(&netlink.Route{LinkIndex: p.pod.Must(t, "net1").Attrs().Index, Gw: net.ParseIP("203.0.113.1"), Priority: 100}))
	must(t, p.verify(t))
	p.side.CIDRs = []netip.Prefix{netip.MustParsePrefix("172.20.0.0/16")}
	must(t, p.configure(t))
	p.wantRoutes(t, "172.20.0.0/16", nodeAddr+"/32")

	// A mark does not tell two legs apart.
	p.side.Addrs = []netip.Prefix{netip.MustParsePrefix("203.0.113.5/24")}
	err := leg.ConfigurePod(t.Context(), p.pod.Path, "net1", p.side)
	if _, ok := errors.AsType[*leg.Shortfall](err); !ok {
		t.Errorf("a second leg: %v, want a *Shortfall", err)
	}
	p.side.NoReplies = true
	must(t, leg.VerifyPod(t.Context(), p.pod.Path, "net1", p.side))
}

// TestWhatTheConfigurationSaysOfADestinationGoesOn: a route of IPAM's to the
// node or to Services stands before the leg's.
func TestWhatTheConfigurationSaysOfADestinationGoesOn(t *testing.T) {
	p := apart(t)
	index := p.pod.Must(t, "eth0").Attrs().Index
	p.downAndUp(t) // and with it the leg's routes
	must(t, p.pod.AddRoute(&netlink.Route{LinkIndex: index, Dst: rtnl.IPNet(netip.MustParsePrefix("10.96.0.0/12")), Gw: net.ParseIP(hostOnPods)}))
	must(t, p.configure(t))
	must(t, p.configure(t))
	must(t, p.verify(t))
	route, err := p.pod.RoutesIn(254)
	must(t, err)
	for _, r := range route {
		if r.Dst.String() == "10.96.0.0/12" {
			if r.Protocol == leg.Origin {
				t.Error("the leg's route stands first")
			}
			return
		}
	}
	t.Error("there is no route to Services")
}
