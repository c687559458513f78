package integration_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/podlan/podlan/integration/lab"
)

// newMatrix is a site with a node for each mode of kube-proxy.
func newMatrix(t *testing.T, bridgeNF bool, keys ...object) *serviceSite {
	t.Helper()
	s := newServiceSite(t)
	for _, proxy := range []proxyMode{viaIPTables, viaNFTables} {
		s.add(t, s.Node(string(proxy), lab.NodeOptions{Bridge: "lan0"}), proxy, bridgeNF)
	}
	s.populate(t, 2, keys...)
	return s
}

// TestAPodReachesAServiceWhoeverItsEndpointIs: itself, a Pod of this or of another
// node, a host of the LAN, a Pod in the network of this or of another node; on its
// own network or on another. Who is asked sees what docs/services.md promises.
func TestAPodReachesAServiceWhoeverItsEndpointIs(t *testing.T) {
	t.Parallel()
	for _, bridgeNF := range []bool{false, true} {
		t.Run(fmt.Sprintf("bridge-nf %d", digit(bridgeNF)), func(t *testing.T) {
			t.Parallel()
			s := newMatrix(t, bridgeNF)
			s.askAll(t)
			checkAll(t, s)
		})
	}
}

// askAll asks every Service from every Pod and node, everybody directly, and the
// nodes' ports.
func (s *serviceSite) askAll(t *testing.T) {
	t.Helper()
	services := s.serve(t)
	var all []lab.Question
	for _, svc := range services {
		for _, p := range s.pods() {
			all = append(all, svc.asked(p.Netns, p.knownAs(svc.endpoint)))
		}
		for _, n := range s.nodes {
			all = append(all, svc.asked(n.Netns, n.Addr.Addr()))
		}
	}
	put(t, all)
	put(t, s.direct())
	put(t, s.ports(t))
}

// ports has each node lead a port of its own to each of its Pods, as hostPort and
// externalTrafficPolicy Local do, and the LAN ask there: the Pod sees the client.
func (s *serviceSite) ports(t *testing.T) (all []lab.Question) {
	t.Helper()
	const first = 30000
	for _, n := range s.nodes {
		var rules []string
		for i, p := range n.pods {
			at := netip.AddrPortFrom(n.Addr.Addr(), uint16(first+i))
			rules = append(rules, fmt.Sprintf("ip daddr %s meta l4proto { tcp, udp } th dport %d dnat to %s:%d", at.Addr(), at.Port(), p.addr, answering))
			for _, h := range s.hosts {
				all = append(all, lab.Question{From: h.Netns, At: at, By: p.Netns, Seen: h.Addr.Addr()})
			}
		}
		feed(t, n.Netns, "nft", "table ip ports {\nchain p {\ntype nat hook prerouting priority dstnat\n"+strings.Join(rules, "\n")+"\n}\n}\n", "nft", "-f", "-")
	}
	return all
}

// knownAs is what a Service's endpoint sees of the Pod with service.mode snat:
// only its own node knows better.
func (p *servicePod) knownAs(e endpoint) netip.Addr {
	if e.ns == p.node.Netns {
		return p.addr
	}
	return p.node.Addr.Addr()
}

// direct is what is asked without a Service: everybody keeps their address.
func (s *serviceSite) direct() (all []lab.Question) {
	for _, p := range s.pods() {
		for _, e := range s.endpoints() {
			if e.ns != p.Netns {
				all = append(all, e.asked(p.Netns, p.addr), endpoint{p.Netns, p.addr}.asked(e.ns, e.addr))
			}
		}
	}
	return all
}

// checkAll has CHECK find every Pod as ADD left it. Soon: kube-proxy's rules came
// after the Pods, and podland puts its own before them.
func checkAll(t *testing.T, s *serviceSite) {
	t.Helper()
	for _, p := range s.pods() {
		lab.Eventually(t, "CHECK of "+p.Name(), func() error { return p.node.Check(t.Context(), p.conf, p.Pod) })
	}
}

// TestWithModeBridgeNFAServiceSeesThePodsAddress: which needs the sysctl; replies
// are taken off the bridge. Only itself a Pod meets as its node. Those of another
// network answer by their router, past the node.
func TestWithModeBridgeNFAServiceSeesThePodsAddress(t *testing.T) {
	t.Parallel()
	s := newMatrix(t, true, object{"service": object{"mode": "bridge-nf"}})
	var all []lab.Question
	services := s.serve(t)
	for _, p := range s.pods() {
		for _, svc := range services {
			if !s.Subnet().Contains(p.addr) || !s.Subnet().Contains(svc.endpoint.addr) {
				continue
			}
			seen := p.addr
			if svc.endpoint.ns == p.Netns {
				seen = p.node.Addr.Addr()
			}
			all = append(all, svc.asked(p.Netns, seen))
		}
	}
	put(t, all)
	put(t, s.direct())
}
