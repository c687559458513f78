//go:build kube

package kube_test

import (
	"maps"
	"net/netip"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/podlan/podlan/integration/debs"
	"github.com/podlan/podlan/integration/kube"
	"github.com/podlan/podlan/integration/lab"
)

// target is the port that endpoints serve.
const target = 8080

// object is a JSON object, to be written down in a test.
type object = map[string]any

// site is a cluster on a LAN and on another beside it: a host that asks, one that
// only serves, and a node for each mode of kube-proxy with bridge-nf off and on.
// Whoever is an endpoint answers with its name and with who asked.
type site struct {
	*lab.Lab
	cluster *kube.Cluster
	host    *lab.Host
	backend *lab.Host
	far     *lab.Network
	nodes   []*node
}

// node is a node with Pods, whose addresses come from host-local and from the
// LAN's DHCP server, and one on the other network.
type node struct {
	*lab.Node
	// bridgeNF tells that what its bridge forwards passes its IP rules.
	bridgeNF           bool
	mode               kube.Mode
	near               object // the network of its Pods on the LAN
	local, leased, far resident
}

// back tells whether the node can send a frame back to the LAN that it came from:
// with bridge-nf the kernel bridges what it has translated on a bridge with the
// node's address, and no bridge forwards to the port that a frame came in by.
func (n *node) back() bool { return !n.bridgeNF || n.Bridge == "" }

func (n *node) pods() []resident { return []resident{n.local, n.leased, n.far} }

// resident is whom a Service may lead to.
type resident struct {
	*lab.Netns
	at kube.Endpoint
}

func newSite(t *testing.T) *site {
	t.Helper()
	l := lab.New(t, lab.Options{CNIPath: reference(t)})
	s := &site{Lab: l, host: l.Host("host"), backend: l.Host("backend"), cluster: kube.New(t, l)}
	s.far = l.Network("far", netip.MustParsePrefix("100.64.0.0/16"))
	l.Route(s.far)
	answers(s.host.Netns)
	answers(s.backend.Netns)
	for _, mode := range kube.Modes() {
		name := string(mode)
		s.newNode(t, mode, l.Node(name+"-0", lab.NodeOptions{Bridge: "lan0"}), false)
		s.newNode(t, mode, l.Node(name+"-1", lab.NodeOptions{Bridge: "lan0"}), true)
		s.newNode(t, mode, l.Node(name+"-nic", lab.NodeOptions{}), true)
	}
	return s
}

func (s *site) newNode(t *testing.T, mode kube.Mode, ln *lab.Node, bridgeNF bool) {
	t.Helper()
	n := &node{Node: ln, bridgeNF: bridgeNF, mode: mode, near: object{"bridge": "lan0"}}
	if n.Bridge == "" {
		n.near = object{"bridge": "near0", "uplink": "eth3"}
		if err := n.AddNIC("eth3"); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.SetSysctl("net.bridge.bridge-nf-call-iptables", strconv.Itoa(number(bridgeNF))); err != nil {
		t.Fatalf("%v (does the kernel lack br_netfilter?)", err)
	}
	iptables, err := debs.Find(t.Context(), "iptables")
	if err != nil {
		t.Fatal(err)
	}
	n.AddEnv(iptables.Env...)
	s.far.Plug(n.Netns, "eth2")
	answers(n.Netns)
	n.StartPodland()
	a := n.Addr.Addr().As4()
	// Beside the node's own address, far from the server's pool.
	near := netip.AddrFrom4([4]byte{a[0], a[1], a[2] + 77, a[3]})
	far := netip.AddrFrom4([4]byte{100, 64, 77, a[3]})
	n.local = n.pod(t, "local", static(near, s.Gateway()), n.near)
	n.leased = n.pod(t, "leased", object{"type": "podlan-dhcp"}, n.near)
	n.far = n.pod(t, "far", static(far, s.far.Gateway()), object{"bridge": "far0", "uplink": "eth2"})
	s.cluster.Proxy(n.Node, mode)
	s.nodes = append(s.nodes, n)
}

// static is one address of host-local.
func static(addr, gw netip.Addr) object {
	return object{
		"type": "host-local", "subnet": netip.PrefixFrom(addr, 16).Masked(), "rangeStart": addr, "rangeEnd": addr,
		"gateway": gw, "routes": []object{{"dst": "0.0.0.0/0"}},
	}
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// reference is the folder of the plugins that Podlan delegates to.
func reference(t *testing.T) []string {
	t.Helper()
	root, err := lab.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	return []string{filepath.Join(root, "bin", "reference")}
}

// masqueraded is the Pod whose hostPort its neighbours use in the node's name.
const masqueraded = "local"

// hostPort is where portmap leads to each Pod: the last three digits are its own.
func hostPort(name string) uint16 {
	return map[string]uint16{"local": 8001, "leased": 8002, "far": 8003}[name]
}

// network is a conflist of podlan-bridge and, behind it, the reference's portmap.
// That masquerades clients of the Pod's own network unless told otherwise: one Pod
// is left with the default.
func (n *node) network(name string, ipam object, keys object) []byte {
	bridge := object{"type": "podlan-bridge", "ipam": ipam, "serviceCIDRs": []string{"10.96.0.0/12"}}
	maps.Copy(bridge, keys)
	portmap := object{"type": "portmap", "capabilities": object{"portMappings": true}, "snat": name == masqueraded}
	return n.Conf(object{"cniVersion": "1.0.0", "name": name, "plugins": []object{bridge, portmap}})
}

// pod attaches a Pod that answers.
func (n *node) pod(t *testing.T, name string, ipam object, keys object) resident {
	t.Helper()
	p := n.Pod(name)
	result, err := n.Add(t.Context(), n.network(name, ipam, keys), p, mapped(name))
	if err != nil {
		t.Fatalf("ADD: %v", err)
	}
	answers(p.Netns)
	addr, ok := netip.AddrFromSlice(lab.Result(t, result).IPs[0].Address.IP)
	if !ok {
		t.Fatal("ADD: a result without an address")
	}
	return resident{p.Netns, kube.Endpoint{Addr: addr.Unmap(), Node: n.Name()}}
}

// answers by TCP and by UDP.
func answers(n *lab.Netns) {
	n.Answers(":8080")
	n.AnswersDatagrams(":8080")
}

// mapped has the runtime ask for a Pod's hostPort.
func mapped(name string) lab.Attachment {
	var mappings []object
	for _, protocol := range []string{"tcp", "udp"} {
		mappings = append(mappings, object{"hostPort": hostPort(name), "containerPort": target, "protocol": protocol})
	}
	return lab.Attachment{CapabilityArgs: object{"portMappings": mappings}}
}
