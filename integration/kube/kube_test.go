//go:build kube

package kube_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/integration/kube"
	"github.com/podlan/podlan/integration/lab"
)

// target is the port that endpoints serve.
const target = 8080

// object is a JSON object, to be written down in a test.
type object = map[string]any

// site is a cluster on a LAN: a host, and a node for each mode of kube-proxy with
// bridge-nf off and on. Whoever is an endpoint answers with its name and with who
// asked.
type site struct {
	cluster *kube.Cluster
	host    *lab.Host
	nodes   []node
}

// node is a node with two Pods, whose addresses come from host-local and from the
// LAN's DHCP server.
type node struct {
	*lab.Node
	// bridgeNF tells that what its bridge forwards passes its IP rules.
	bridgeNF      bool
	local, leased kube.Endpoint
}

func newSite(t *testing.T) site {
	t.Helper()
	l := lab.New(t, lab.Options{CNIPath: reference(t)})
	s := site{host: l.Host("host"), cluster: kube.New(t, l)}
	answers(t, s.host.Netns)
	for _, mode := range kube.Modes() {
		for _, bridgeNF := range []bool{false, true} {
			name := fmt.Sprintf("%s-%d", mode, number(bridgeNF))
			s.nodes = append(s.nodes, newNode(t, l.Node(name, lab.NodeOptions{Bridge: "lan0"}), bridgeNF))
			s.cluster.Proxy(s.nodes[len(s.nodes)-1].Node, mode)
		}
	}
	return s
}

func newNode(t *testing.T, n *lab.Node, bridgeNF bool) node {
	t.Helper()
	if err := n.SetSysctl("net.bridge.bridge-nf-call-iptables", strconv.Itoa(number(bridgeNF))); err != nil {
		t.Fatalf("%v (does the kernel lack br_netfilter?)", err)
	}
	answers(t, n.Netns)
	n.StartPodland()
	// Beside the node's own address, far from the server's pool.
	a := n.Addr.Addr().As4()
	own := netip.AddrFrom4([4]byte{a[0], a[1], a[2] + 77, a[3]}).String()
	return node{
		Node: n, bridgeNF: bridgeNF,
		local:  pod(t, n, "local", object{"type": "host-local", "subnet": n.Addr.Masked().String(), "rangeStart": own, "rangeEnd": own}),
		leased: pod(t, n, "leased", object{"type": "podlan-dhcp"}),
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

// pod attaches a Pod that answers.
func pod(t *testing.T, n *lab.Node, name string, ipam object) kube.Endpoint {
	t.Helper()
	p := n.Pod(name)
	conf := n.Conf(object{"cniVersion": "1.1.0", "name": name, "type": "podlan-bridge", "bridge": "lan0", "ipam": ipam})
	result, err := n.Add(t.Context(), conf, p)
	if err != nil {
		t.Fatalf("ADD: %v", err)
	}
	answers(t, p.Netns)
	addr, ok := netip.AddrFromSlice(lab.Result(t, result).IPs[0].Address.IP)
	if !ok {
		t.Fatal("ADD: a result without an address")
	}
	return kube.Endpoint{Addr: addr.Unmap(), Node: n.Name()}
}

// answers serves the namespace's name and the asker's address.
func answers(t *testing.T, ns *lab.Netns) {
	t.Helper()
	l, err := ns.Listen(t.Context(), "tcp4", fmt.Sprintf(":%d", target))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(w, "%s asked by %s", ns.Name(), from)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
}

// answered asks until somebody answers, and wants this to be the endpoint, with
// this source.
func answered(t *testing.T, from *lab.Netns, at netip.AddrPort, endpoint string, source netip.Addr) {
	t.Helper()
	client := from.HTTPClient()
	client.Timeout = 5 * time.Second // what is dropped is asked again
	var got string
	lab.Eventually(t, "an answer from "+at.String(), func() (err error) {
		got, err = get(t.Context(), client, "http://"+at.String())
		return err
	})
	if want := fmt.Sprintf("%s asked by %s", endpoint, source); got != want {
		t.Errorf("%s from %s: %s; want %s", at, from.Name(), got, want)
	}
}

func get(ctx context.Context, client *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// routed sends what goes to an address by the node, as the LAN's router would
// for a load balancer's.
func routed(t *testing.T, from *lab.Netns, to netip.Addr, via netip.Addr) {
	t.Helper()
	h, err := from.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	dst := &net.IPNet{IP: to.AsSlice(), Mask: net.CIDRMask(32, 32)}
	if err := h.RouteAdd(&netlink.Route{Dst: dst, Gw: via.AsSlice()}); err != nil {
		t.Fatal(err)
	}
}
