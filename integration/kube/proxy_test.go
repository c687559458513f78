//go:build kube

package kube_test

import (
	"net/netip"
	"testing"

	"github.com/podlan/podlan/integration/kube"
	"github.com/podlan/podlan/integration/lab"
)

func TestARealKubeProxyLeadsToEndpointsOnTheLAN(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var all []question
	for i, n := range s.nodes {
		other := s.nodes[(i+1)%len(s.nodes)]
		all = append(all, s.clusterIPs(n, other)...)
		all = append(all, s.nodePorts(n, other)...)
		all = append(all, s.loadBalancer(t, n))
	}
	for _, q := range all {
		s.cluster.AwaitRules(q.node.Node, q.service)
	}
	for _, q := range all {
		t.Run(q.service.Name, func(t *testing.T) {
			t.Parallel()
			answered(t, q.from, q.at, q.answers, q.source)
		})
	}
}

// question is asked from a namespace at an address of a Service that the node's
// rules know, and is answered by an endpoint that sees a source.
type question struct {
	node    node
	service kube.Service
	from    *lab.Netns
	at      netip.AddrPort
	answers string
	source  netip.Addr
}

// clusterIPs are asked from the node itself: for its own Pods they want what is
// still to be built, see doc.go.
func (s site) clusterIPs(n, other node) []question {
	var all []question
	for name, c := range map[string]struct {
		endpoint kube.Endpoint
		answers  string
	}{
		"lan-host":           {kube.Endpoint{Addr: s.host.Addr.Addr()}, "host"},
		"local-pod":          {n.local, n.Name() + "-local"},
		"leased-pod":         {n.leased, n.Name() + "-leased"},
		"pod-elsewhere":      {other.leased, other.Name() + "-leased"},
		"host-network":       {hostNetwork(n), n.Name()},
		"other-host-network": {hostNetwork(other), other.Name()},
	} {
		svc := s.cluster.Service(name+"-from-"+n.Name(), kube.Spec{Port: 80, Target: target, Endpoints: []kube.Endpoint{c.endpoint}})
		all = append(all, question{n, svc, n.Netns, netip.AddrPortFrom(svc.ClusterIP, 80), c.answers, n.Addr.Addr()})
	}
	return all
}

func (s site) nodePorts(n, other node) []question {
	type port struct {
		endpoint kube.Endpoint
		local    bool
		answers  string
		source   netip.Addr
	}
	client := s.host.Addr.Addr()
	ports := map[string]port{
		"port-of-node":       {hostNetwork(n), false, n.Name(), client},
		"local-port-of-node": {hostNetwork(n), true, n.Name(), client},
	}
	// With bridge-nf the kernel bridges what it has translated, and never to the
	// port that it came in by: no NodePort leads back to the LAN there.
	if !n.bridgeNF {
		// What the node sends on bears its address.
		ports["port-to-other-node"] = port{hostNetwork(other), false, other.Name(), n.Addr.Addr()}
	}
	var all []question
	for name, c := range ports {
		svc := s.cluster.Service(name+"-by-"+n.Name(), kube.Spec{
			Type: kube.NodePort, Port: 80, Target: target, Local: c.local, Endpoints: []kube.Endpoint{c.endpoint},
		})
		all = append(all, question{n, svc, s.host.Netns, netip.AddrPortFrom(n.Addr.Addr(), svc.NodePort), c.answers, c.source})
	}
	return all
}

// loadBalancer is one that sends to the node and keeps the client's address.
func (s site) loadBalancer(t *testing.T, n node) question {
	t.Helper()
	// Beside the LAN's own addresses, one for each node.
	ingress := netip.AddrFrom4([4]byte{198, 19, 0, n.Addr.Addr().As4()[3]})
	routed(t, s.host.Netns, ingress, n.Addr.Addr())
	svc := s.cluster.Service("balanced-to-"+n.Name(), kube.Spec{
		Type: kube.LoadBalancer, Port: 80, Target: target, Local: true, Ingress: ingress, Endpoints: []kube.Endpoint{hostNetwork(n)},
	})
	return question{n, svc, s.host.Netns, netip.AddrPortFrom(ingress, 80), n.Name(), s.host.Addr.Addr()}
}

// hostNetwork is an endpoint in the node's own namespace.
func hostNetwork(n node) kube.Endpoint { return kube.Endpoint{Addr: n.Addr.Addr(), Node: n.Name()} }
