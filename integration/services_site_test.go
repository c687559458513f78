package integration_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"testing"

	"github.com/podlan/podlan/integration/lab"
)

// serviceSite is two LANs with a router between them and a host on each, and nodes
// whose kernels have the rules of a kube-proxy. Their addresses are on the first
// LAN, their Pods on both.
type serviceSite struct {
	*lab.Lab
	far   *lab.Network
	hosts []*lab.Host // near, far
	nodes []*serviceNode
}

// serviceNode is one whose NIC eth2 is on the far LAN.
type serviceNode struct {
	*lab.Node
	proxy proxyMode
	// near are the keys of its network on the first LAN: its own bridge, or
	// Podlan's on a spare NIC.
	near object
	pods []*servicePod
}

// servicePod is one that answers, as everybody does here.
type servicePod struct {
	*lab.Pod
	node *serviceNode
	conf []byte
	addr netip.Addr
}

// endpoint is one of a Service.
type endpoint struct {
	ns   *lab.Netns
	addr netip.Addr
}

const (
	serviceCIDR = "10.96.0.0/12"
	// answering is the port that everybody answers at.
	answering = 8080
)

// everywhere is the default route's destination.
func everywhere() netip.Prefix { return netip.PrefixFrom(netip.IPv4Unspecified(), 0) }

func newServiceSite(t *testing.T) *serviceSite {
	t.Helper()
	l := lab.New(t, options(t, lab.Options{Server: lab.None}))
	s := &serviceSite{Lab: l, far: l.Network("far", netip.MustParsePrefix("198.19.0.0/16"))}
	l.Route(s.far)
	s.hosts = []*lab.Host{l.Host("host-near"), s.far.Host("host-far")}
	for i, gw := range []netip.Addr{l.Gateway(), s.far.Gateway()} {
		must(t, s.hosts[i].AddRoute("eth0", everywhere(), gw))
		answers(s.hosts[i].Netns, ":8080")
	}
	return s
}

// add makes a node what Kubernetes needs, and runs podland there.
func (s *serviceSite) add(t *testing.T, n *lab.Node, proxy proxyMode, bridgeNF bool) *serviceNode {
	t.Helper()
	must(t, n.AddRoute(n.Iface, everywhere(), s.Gateway()))
	s.far.Plug(n.Netns, "eth2")
	must(t, n.SetSysctl("net.ipv4.ip_forward", "1"))
	for _, family := range []string{"iptables", "ip6tables"} {
		must(t, n.SetSysctl("net.bridge.bridge-nf-call-"+family, strconv.Itoa(digit(bridgeNF))))
	}
	n.AddEnv(toolEnv(t, "iptables")...)
	answers(n.Netns, ":8080")
	n.StartPodland()
	node := &serviceNode{Node: n, proxy: proxy, near: object{"bridge": "lan0"}}
	if n.Bridge == "" {
		must(t, n.AddNIC("eth3"))
		node.near = object{"bridge": "near0", "uplink": "eth3"}
	}
	s.nodes = append(s.nodes, node)
	return node
}

func digit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// nearNet and farNet are the two networks of a node's Pods.
func (s *serviceSite) nearNet(n *serviceNode, keys ...object) []byte {
	return s.net(n, "near", "198.18", s.Gateway(), append([]object{n.near}, keys...)...)
}

func (s *serviceSite) farNet(n *serviceNode, keys ...object) []byte {
	return s.net(n, "far", "198.19", s.far.Gateway(), append([]object{{"bridge": "far0", "uplink": "eth2"}}, keys...)...)
}

func (s *serviceSite) net(n *serviceNode, name, net string, gw netip.Addr, keys ...object) []byte {
	own := n.Addr.Addr().As4()[3] // each node's addresses are its own
	ipam := object{
		"type": "host-local", "subnet": net + ".0.0/16", "gateway": gw, "routes": []object{{"dst": "0.0.0.0/0"}},
		"rangeStart": fmt.Sprintf("%s.%d.1", net, 100+own), "rangeEnd": fmt.Sprintf("%s.%d.200", net, 100+own),
	}
	return network(n.Node, ipam, append([]object{{"name": name, "serviceCIDRs": []string{serviceCIDR}}}, keys...)...)
}

// settle attaches a Pod that answers.
func (n *serviceNode) settle(t *testing.T, name string, conf []byte) {
	t.Helper()
	p := &servicePod{Pod: n.Pod(name), node: n, conf: conf}
	p.addr = address(t, attach(t, n.Node, conf, p.Pod))
	answers(p.Netns, ":8080")
	n.pods = append(n.pods, p)
}

// populate gives every node a number of Pods on each LAN.
func (s *serviceSite) populate(t *testing.T, each int, keys ...object) {
	t.Helper()
	for _, n := range s.nodes {
		for i := range each {
			n.settle(t, fmt.Sprintf("near%d", i), s.nearNet(n, keys...))
			n.settle(t, fmt.Sprintf("far%d", i), s.farNet(n, keys...))
		}
	}
}

// pods are those of all nodes.
func (s *serviceSite) pods() (all []*servicePod) {
	for _, n := range s.nodes {
		all = append(all, n.pods...)
	}
	return all
}

// endpoints are all that can be some: Pods, the LANs' hosts, and Pods in the
// nodes' own network.
func (s *serviceSite) endpoints() (all []endpoint) {
	for _, h := range s.hosts {
		all = append(all, endpoint{h.Netns, h.Addr.Addr()})
	}
	for _, n := range s.nodes {
		all = append(all, endpoint{n.Netns, n.Addr.Addr()})
	}
	for _, p := range s.pods() {
		all = append(all, endpoint{p.Netns, p.addr})
	}
	return all
}

// serve makes each of them a Service's only one, on all nodes.
func (s *serviceSite) serve(t *testing.T) (services []service) {
	t.Helper()
	for i, e := range s.endpoints() {
		services = append(services, service{
			name: e.ns.Name(), addr: netip.AddrFrom4([4]byte{10, 96, 1, byte(i)}), endpoint: e,
		})
	}
	for _, n := range s.nodes {
		n.proxy.write(t, n.Node, services)
	}
	return services
}

func (s service) asked(from *lab.Netns, seen netip.Addr) lab.Question {
	return lab.Question{From: from, At: netip.AddrPortFrom(s.addr, servicePort), By: s.endpoint.ns, Seen: seen}
}

func (e endpoint) asked(from *lab.Netns, seen netip.Addr) lab.Question {
	return lab.Question{From: from, At: netip.AddrPortFrom(e.addr, answering), By: e.ns, Seen: seen}
}

// answers by TCP and by UDP.
func answers(n *lab.Netns, at string) {
	n.Answers(at)
	n.AnswersDatagrams(at)
}

// put puts all of them, by TCP and by UDP.
func put(t *testing.T, all []lab.Question) {
	t.Helper()
	if err := lab.Put(t.Context(), all); err != nil {
		t.Errorf("by TCP: %v", err)
	}
	if err := lab.PutDatagrams(t.Context(), all); err != nil {
		t.Errorf("by UDP: %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
