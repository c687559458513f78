package integration_test

import (
	"net/netip"
	"testing"

	"github.com/podlan/podlan/integration/lab"
)

// nodeLocalDNS is where that listens, on a link of its own: the last is a Service's.
func nodeLocalDNS() []string { return []string{"169.254.20.10", "10.96.0.10"} }

// TestPodsReachTheirNodesServices: whose address they see is the Pod's own. The
// other way round, the node's probes, is in every matrix.
func TestPodsReachTheirNodesServices(t *testing.T) {
	t.Parallel()
	s := newServiceSite(t)
	for name, opts := range map[string]lab.NodeOptions{"numbered": {Bridge: "lan0"}, "unnumbered": {}} {
		n := s.add(t, s.Node(name, opts), viaNFTables, false)
		must(t, n.AddBridge("nodelocaldns", false))
		for _, a := range nodeLocalDNS() {
			must(t, n.AddAddress("nodelocaldns", netip.PrefixFrom(netip.MustParseAddr(a), 32)))
			answers(n.Netns, a+":53")
		}
		answers(n.Netns, ":5353") // which has to answer from where it was asked
	}
	s.populate(t, 1)
	s.serve(t)
	var all []lab.Question
	ask := func(p *servicePod, at netip.AddrPort) {
		all = append(all, lab.Question{From: p.Netns, At: at, By: p.node.Netns, Seen: p.addr})
	}
	for _, p := range s.pods() {
		for _, a := range nodeLocalDNS() {
			ask(p, netip.AddrPortFrom(netip.MustParseAddr(a), 53))
		}
		ask(p, netip.AddrPortFrom(p.node.Addr.Addr(), 5353))
	}
	put(t, all)
}
