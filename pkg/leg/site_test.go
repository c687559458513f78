package leg_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// place is a node with the NIC eth0 and the bridge lan0 over the NIC eth1, a LAN
// host on each, and a Pod on the bridge. The host is also the router between the
// two networks, where they are two.
type place struct {
	host, node, pod *rtnltest.Netns
	routes          *leg.Node
	leg             leg.Leg
	side            leg.PodSide
	lockDir         string
}

const (
	hostOnPods = "198.18.0.1"
	podAddr    = "198.18.1.5"
	nodeAddr   = "192.0.2.10"
	hostOnNode = "192.0.2.1"
)

// apart is a place where the Pod is on another layer 2 than the node's address.
func apart(t *testing.T) *place {
	t.Helper()
	return inOtherNetwork(t, rtnltest.New(t))
}

func inOtherNetwork(t *testing.T, node *rtnltest.Netns) *place {
	t.Helper()
	p := newPlace(t, node, podAddr+"/16", nodeAddr+"/24")
	p.host.Cable(t, "nic0", p.node, "eth0")
	p.host.Address(t, "nic0", hostOnNode+"/24")
	p.host.Address(t, "nic1", hostOnPods+"/16")
	p.finish(t, hostOnNode, hostOnPods)
	return p
}

// together is a place where node and Pod are in one network, by two NICs.
func together(t *testing.T) *place {
	t.Helper()
	p := newPlace(t, rtnltest.New(t), "192.0.2.50/24", nodeAddr+"/24")
	p.host.Cable(t, "nic0", p.node, "eth0")
	sw := p.host.Bridge(t, "sw0")
	for _, nic := range []string{"nic0", "nic1"} {
		must(t, p.host.SetMaster(p.host.Must(t, nic).Attrs().Index, sw))
	}
	p.host.Address(t, "sw0", hostOnNode+"/24")
	p.finish(t, hostOnNode, hostOnNode)
	return p
}

// newPlace makes lan0 where the node has none.
func newPlace(t *testing.T, machine *rtnltest.Netns, pod, node string) *place {
	t.Helper()
	p := &place{host: rtnltest.New(t), node: machine, pod: rtnltest.New(t), lockDir: t.TempDir()}
	p.routes = leg.NewNode(p.node.Handle, p.lockDir)
	if _, err := p.node.Link("lan0"); err != nil {
		p.node.Bridge(t, "lan0")
	}
	bridge := p.node.Must(t, "lan0").Attrs().Index
	must(t, p.node.SetMAC(bridge, net.HardwareAddr{2, 0, 0, 0, 7, 1})) // as Podlan pins it
	must(t, p.node.SetSysctls(rtnl.Sysctl{Path: "net/ipv4/conf/lan0/arp_ignore", Value: "1"}))
	must(t, p.node.SetMaster(p.node.Cable(t, "eth1", p.host, "nic1"), bridge))
	must(t, p.node.SetMaster(p.node.Cable(t, "vethpl000000001", p.pod, "eth0"), bridge))
	p.pod.Address(t, "eth0", pod)
	for _, n := range []*rtnltest.Netns{p.host, p.node, p.pod} { // whatever the machine's own are
		p.filter(t, n, "0")
		// Nothing helps replies that cross the bridge.
		must(t, n.SetSysctls(rtnl.Sysctl{Path: "net/bridge/bridge-nf-call-iptables", Value: "0"}))
	}
	p.leg = leg.Leg{
		Port: "vethpl000000001", Device: "lan0", Bridge: "lan0", Addrs: []netip.Prefix{netip.MustParsePrefix(pod)},
		MAC: p.pod.Must(t, "eth0").Attrs().HardwareAddr, NodeIP: netip.MustParsePrefix(node).Addr(),
		Service: netconf.Service{Mode: netconf.ServiceSNAT, CIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}},
	}
	return p
}

// finish gives node and Pod their routers, and makes the leg.
func (p *place) finish(t *testing.T, nodes, pods string) {
	t.Helper()
	p.node.Address(t, "eth0", p.leg.NodeIP.String()+"/24")
	must(t, p.host.SetSysctls(rtnl.Sysctl{Path: "net/ipv4/ip_forward", Value: "1"}))
	byDefault(t, p.node, "eth0", nodes)
	byDefault(t, p.pod, "eth0", pods)
	p.add(t)
}

func (p *place) add(t *testing.T) {
	t.Helper()
	must(t, p.routes.Add(t.Context(), p.leg, none))
	addrs, err := leg.NodeAddrs(p.node.Handle, p.leg)
	must(t, err)
	p.side = leg.PodSide{
		Addrs: p.leg.Addrs, LegMAC: p.node.Must(t, "lan0").Attrs().HardwareAddr,
		CIDRs: p.leg.Service.CIDRs, NodeAddrs: addrs,
	}
	must(t, leg.ConfigurePod(t.Context(), p.pod.Path, "eth0", p.side))
}

// filter sets rp_filter on every link there is, and on those to come.
func (p *place) filter(t *testing.T, n *rtnltest.Netns, value string) {
	t.Helper()
	links, err := n.Links()
	must(t, err)
	names := []string{"all", "default"}
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	for _, name := range names {
		must(t, n.SetSysctls(rtnl.Sysctl{Path: "net/ipv4/conf/" + name + "/rp_filter", Value: value}))
	}
}

func byDefault(t *testing.T, n *rtnltest.Netns, link, router string) {
	t.Helper()
	must(t, n.AddRoute(&netlink.Route{LinkIndex: n.Must(t, link).Attrs().Index, Gw: net.ParseIP(router)}))
}

func none() ([]leg.Leg, error) { return nil, nil }

func these(legs ...leg.Leg) leg.Legs { return func() ([]leg.Leg, error) { return legs, nil } }

// talk connects to target from one namespace and is answered by a listener in
// another, which says whom it has seen.
func talk(t *testing.T, from, to *rtnltest.Netns, listen, target string) (seen string, err error) {
	t.Helper()
	return talkWithin(t, 10*time.Second, from, to, listen, target)
}

func talkWithin(t *testing.T, patience time.Duration, from, to *rtnltest.Netns, listen, target string) (seen string, err error) {
	t.Helper()
	var l net.Listener
	must(t, to.Do(func() (err error) {
		l, err = net.Listen("tcp4", listen)
		return err
	}))
	defer func() { _ = l.Close() }()
	go func() {
		if c, err := l.Accept(); err == nil {
			fmt.Fprint(c, c.RemoteAddr().(*net.TCPAddr).IP)
			_ = c.Close()
		}
	}()
	err = from.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		addr := netip.MustParseAddrPort(target)
		limit := unix.NsecToTimeval(int64(patience))
		_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit)
		_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
		err = uninterrupted(func() error {
			return unix.Connect(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()})
		})
		if err != nil {
			return err
		}
		return uninterrupted(func() error {
			b := make([]byte, 64)
			n, err := unix.Read(fd, b)
			seen = string(b[:max(n, 0)])
			return err
		})
	})
	return seen, err
}

// uninterrupted calls fn anew after a signal: Go's own, too. Linux then goes on
// with a connect that was under way.
func uninterrupted(fn func() error) error {
	for {
		if err := fn(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// wantTalk expects the listener to see that address.
func wantTalk(t *testing.T, what string, from, to *rtnltest.Netns, listen, target, seen string) {
	t.Helper()
	got, err := talk(t, from, to, listen, target)
	if err != nil || got != seen {
		t.Errorf("%s: saw %q, want %q (%v)", what, got, seen, err)
	}
}

// nodePort has the node hand on what comes for its port 30080 to the Pod's port
// 80, as kube-proxy does with externalTrafficPolicy Local.
func (p *place) nodePort(t *testing.T) {
	t.Helper()
	conn, err := nftables.New(nftables.WithNetNSFd(p.node.Fd()))
	must(t, err)
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "proxy"})
	chain := conn.AddChain(&nftables.Chain{
		Name: "prerouting", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest,
	})
	pod := p.leg.Addrs[0].Addr().As4()
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(30080)},
		&expr.Immediate{Register: 1, Data: pod[:]},
		&expr.Immediate{Register: 2, Data: binaryutil.BigEndian.PutUint16(80)},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: 2},
	}})
	must(t, conn.Flush())
}

func wantCode(t *testing.T, err error, code leaseapi.Code) {
	t.Helper()
	cni, ok := errors.AsType[*types.Error](err)
	if !ok || cni.Code != uint(code) {
		t.Errorf("got %v, want code %d", err, code)
	}
}
