package integration_test

import (
	"fmt"
	"net/netip"
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

// askAll asks every Service from every Pod and node, and everybody directly.
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

// checkAll has CHECK find every Pod as ADD left it.
func checkAll(t *testing.T, s *serviceSite) {
	t.Helper()
	for _, p := range s.pods() {
		if err := p.node.Check(t.Context(), p.conf, p.Pod); err != nil {
			t.Errorf("CHECK of %s: %v", p.Name(), err)
		}
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
