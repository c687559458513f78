//go:build kube

package kube_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/integration/kube"
	"github.com/podlan/podlan/integration/lab"
)

// TestARealKubeProxyLeadsToEndpointsOnTheLAN: from the nodes, from the LAN, and
// from Pods, which are seen as docs/services.md promises.
func TestARealKubeProxyLeadsToEndpointsOnTheLAN(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	all := map[string][]question{
		"ClusterIPs":     s.clusterIPs(),
		"NodePorts":      s.nodePorts(),
		"load balancers": s.loadBalancers(t),
		"hostPorts":      s.hostPorts(),
		"without":        s.directly(),
	}
	limits := s.limits(t)
	s.await(append(slices.Concat(slices.Collect(maps.Values(all))...), limits...))
	for what, questions := range all {
		t.Run(what, func(t *testing.T) { put(t, questions) })
	}
	t.Run("limits", func(t *testing.T) { wantNoAnswer(t, limits) })
	for _, n := range s.nodes {
		s.cluster.Restart(n.Node)
	}
	t.Run("ClusterIPs after a restart", func(t *testing.T) { put(t, all["ClusterIPs"]) })
	t.Run("API server", s.reachesAPIServer)
	t.Run("a Pod's life", s.leavesNothing)
}

// question is one that the nodes' rules, if it is of a Service, answer.
type question struct {
	service kube.Service
	lab.Question
}

// await waits until every kube-proxy has written what the questions need.
func (s *site) await(all []question) {
	services := map[string]kube.Service{}
	for _, q := range all {
		if q.service.Name != "" {
			services[q.service.Name] = q.service
		}
	}
	for _, n := range s.nodes {
		s.cluster.AwaitRules(n.Node, slices.Collect(maps.Values(services))...)
	}
}

// ask is a question of no Service.
func ask(from *lab.Netns, at netip.AddrPort, by *lab.Netns, seen netip.Addr) question {
	return question{kube.Service{}, lab.Question{From: from, At: at, By: by, Seen: seen}}
}

func (q question) of(s kube.Service) question {
	q.service = s
	return q
}

func put(t *testing.T, all []question) {
	t.Helper()
	var questions []lab.Question
	for _, q := range all {
		questions = append(questions, q.Question)
	}
	if err := lab.Put(t.Context(), questions); err != nil {
		t.Errorf("by TCP: %v", err)
	}
	if err := lab.PutDatagrams(t.Context(), questions); err != nil {
		t.Errorf("by UDP: %v", err)
	}
}

// wantNoAnswer: what docs/services.md says cannot be. Where it can, on some kernel
// or with some kube-proxy, it is to be told.
func wantNoAnswer(t *testing.T, all []question) {
	t.Helper()
	var wg sync.WaitGroup
	for _, q := range all {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if got, err := q.From.Ask(ctx, q.At); err == nil {
				t.Errorf("%s asks %s: %q, which is among the limits of docs/services.md", q.From.Name(), q.At, got)
			}
		})
	}
	wg.Wait()
}

// residents are all that can be an endpoint.
func (s *site) residents() []resident {
	all := []resident{{s.host.Netns, kube.Endpoint{Addr: s.host.Addr.Addr()}}}
	for _, n := range s.nodes {
		all = append(append(all, hostNetwork(n)), n.pods()...)
	}
	return all
}

// hostNetwork is an endpoint in the node's own namespace.
func hostNetwork(n *node) resident {
	return resident{n.Netns, kube.Endpoint{Addr: n.Addr.Addr(), Node: n.Name()}}
}

// clusterIPs are asked from every node and each of its Pods.
func (s *site) clusterIPs() (all []question) {
	for _, r := range s.residents() {
		svc := s.cluster.Service("to-"+r.Name(), kube.Spec{Port: 80, Target: target, Endpoints: []kube.Endpoint{r.at}})
		at := netip.AddrPortFrom(svc.ClusterIP, 80)
		for _, n := range s.nodes {
			all = append(all, ask(n.Netns, at, r.Netns, n.Addr.Addr()).of(svc))
			for _, p := range n.pods() {
				seen := n.Addr.Addr()
				if r.Netns == n.Netns {
					seen = p.at.Addr // the node knows its Pods
				}
				all = append(all, ask(p.Netns, at, r.Netns, seen).of(svc))
			}
		}
	}
	return all
}

// nodePorts are asked from the LAN.
func (s *site) nodePorts() (all []question) {
	client := s.host.Addr.Addr()
	for i, n := range s.nodes {
		port := func(name string, to resident, local bool, seen netip.Addr) {
			svc := s.cluster.Service(name+"-to-"+to.Name()+"-by-"+n.Name(), kube.Spec{
				Type: kube.NodePort, Port: 80, Target: target, Local: local, Endpoints: []kube.Endpoint{to.at},
			})
			all = append(all, ask(s.host.Netns, netip.AddrPortFrom(n.Addr.Addr(), svc.NodePort), to.Netns, seen).of(svc))
		}
		port("port", hostNetwork(n), false, client)
		port("local-port", hostNetwork(n), true, client)
		for _, p := range n.pods() {
			port("port", p, false, n.Addr.Addr())
			port("local-port", p, true, client)
		}
		if n.back() {
			for _, r := range s.elsewhere(i) {
				port("port", r, false, n.Addr.Addr()) // what the node sends on bears its address
			}
		}
	}
	return all
}

// elsewhere are endpoints of a node's neighbour, and of none.
func (s *site) elsewhere(node int) []resident {
	other := s.nodes[(node+1)%len(s.nodes)]
	return append(other.pods(), hostNetwork(other), resident{s.backend.Netns, kube.Endpoint{Addr: s.backend.Addr.Addr()}})
}

// loadBalancers, and whoever leads spec.externalIPs, send to the nodes.
func (s *site) loadBalancers(t *testing.T) (all []question) {
	t.Helper()
	last := netip.MustParseAddr("198.19.0.0") // beside the LAN's own addresses
	lead := func(n *node) netip.Addr {
		last = last.Next()
		for _, from := range []*lab.Host{s.host, s.Server().Host} { // who is the Pods' router
			routed(t, from.Netns, last, n.Addr.Addr())
		}
		return last
	}
	client := s.host.Addr.Addr()
	publish := func(n, neighbour *node, to resident, local bool, seen netip.Addr) {
		spec := kube.Spec{
			Type: kube.LoadBalancer, Port: 80, Target: target, Local: local, Endpoints: []kube.Endpoint{to.at},
			Ingress: lead(n), External: lead(n),
		}
		svc := s.cluster.Service(fmt.Sprintf("lb-%t-to-%s-by-%s", local, to.Name(), n.Name()), spec)
		for _, at := range []netip.Addr{spec.Ingress, spec.External} {
			at := netip.AddrPortFrom(at, 80)
			all = append(all, ask(s.host.Netns, at, to.Netns, seen).of(svc))
			for _, asker := range []*node{n, neighbour} {
				all = append(all, asker.asksByLAN(at, n, to, svc, local)...)
			}
		}
	}
	for i, n := range s.nodes {
		neighbour := s.nodes[(i+1)%len(s.nodes)]
		publish(n, neighbour, hostNetwork(n), true, client)
		publish(n, neighbour, hostNetwork(n), false, client)
		for _, p := range n.pods() {
			publish(n, neighbour, p, true, client)
			publish(n, neighbour, p, false, n.Addr.Addr())
		}
		if n.back() {
			for _, r := range s.elsewhere(i) {
				publish(n, neighbour, r, false, n.Addr.Addr())
			}
		}
	}
	return all
}

// asksByLAN has the node's Pods ask for what the LAN leads to another node, or to
// this one. With bridge-nf their own kube-proxy answers, as the frames pass.
func (n *node) asksByLAN(at netip.AddrPort, led *node, to resident, svc kube.Service, local bool) (all []question) {
	by := led
	if n.bridgeNF {
		by = n
	}
	if local && by.Name() != to.at.Node {
		if n.mode == kube.NFTables {
			return nil // refused: docs/services.md, limits
		}
		by = led // iptables leaves it to who has an endpoint
	}
	for _, p := range n.pods() {
		seen := by.Addr.Addr()
		if p.Netns != to.Netns && (local || to.Netns == by.Netns) {
			seen = p.at.Addr
		}
		all = append(all, ask(p.Netns, at, to.Netns, seen).of(svc))
	}
	return all
}

// limits are what is not answered, and why is in docs/services.md.
func (s *site) limits(t *testing.T) (all []question) {
	t.Helper()
	backend := kube.Endpoint{Addr: s.backend.Addr.Addr()}
	svc := s.cluster.Service("back-to-the-lan", kube.Spec{Type: kube.NodePort, Port: 80, Target: target, Endpoints: []kube.Endpoint{backend}})
	first, ingress := s.nodes[0], netip.MustParseAddr("198.19.255.1")
	routed(t, s.Server().Host.Netns, ingress, first.Addr.Addr())
	balanced := s.cluster.Service("on-the-first-node", kube.Spec{
		Type: kube.LoadBalancer, Port: 80, Target: target, Local: true, Ingress: ingress, Endpoints: []kube.Endpoint{first.local.at},
	})
	for _, n := range s.nodes {
		if !n.back() {
			at := netip.AddrPortFrom(n.Addr.Addr(), svc.NodePort)
			all = append(all, ask(s.host.Netns, at, s.backend.Netns, n.Addr.Addr()).of(svc))
		}
		if n.bridgeNF && n.mode == kube.NFTables {
			all = append(all, ask(n.local.Netns, netip.AddrPortFrom(ingress, 80), first.local.Netns, n.local.at.Addr).of(balanced))
		}
	}
	return all
}

// hostPorts of the reference's portmap, from the LAN and from the Pod itself.
func (s *site) hostPorts() (all []question) {
	for _, n := range s.nodes {
		for name, p := range map[string]resident{"local": n.local, "leased": n.leased, "far": n.far} {
			at, seen := netip.AddrPortFrom(n.Addr.Addr(), hostPort(name)), s.host.Addr.Addr()
			if name == masqueraded {
				seen = n.Addr.Addr()
			}
			all = append(all,
				ask(s.host.Netns, at, p.Netns, seen),
				ask(p.Netns, at, p.Netns, n.Addr.Addr()))
		}
	}
	return all
}

// directly is what is asked without a Service: everybody keeps their address.
func (s *site) directly() (all []question) {
	for _, n := range s.nodes {
		for _, p := range n.pods() {
			for _, r := range s.residents() {
				if r.Netns != p.Netns {
					all = append(all,
						ask(p.Netns, netip.AddrPortFrom(r.at.Addr, target), r.Netns, p.at.Addr),
						ask(r.Netns, netip.AddrPortFrom(p.at.Addr, target), p.Netns, r.at.Addr))
				}
			}
		}
	}
	return all
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
