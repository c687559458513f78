package integration_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/integration/lab"
)

// TestAPodWhoseRouterIsItsNodeReachesServicesToo: isDefaultGateway and ipMasq stay
// right beside the leg. Beyond its subnet the Pod is the node, by ipMasq; for a
// Service, by the leg; a neighbour and the node know it as itself.
func TestAPodWhoseRouterIsItsNodeReachesServicesToo(t *testing.T) {
	t.Parallel()
	for _, proxy := range []proxyMode{viaIPTables, viaNFTables} {
		for _, bridgeNF := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, bridge-nf %d", proxy, digit(bridgeNF)), func(t *testing.T) {
				t.Parallel()
				l := lab.New(t, options(t, lab.Options{Server: lab.None}))
				client, n := l.Host("client"), l.Node("n1", lab.NodeOptions{})
				answers(client.Netns, ":8080")
				// A server of every address would answer UDP from cni0's.
				answers(n.Netns, netip.AddrPortFrom(n.Addr.Addr(), answering).String())
				n.AddEnv(toolEnv(t, "iptables")...)
				must(t, n.AddRoute(n.Iface, everywhere(), l.Gateway()))
				must(t, n.SetSysctl("net.bridge.bridge-nf-call-iptables", fmt.Sprint(digit(bridgeNF))))
				must(t, n.SetSysctl("net.ipv4.ip_forward", "1"))
				pods := []*lab.Pod{n.Pod("p1"), n.Pod("p2")}
				services := []service{
					{addr: netip.MustParseAddr("10.96.0.1"), endpoint: endpoint{client.Netns, client.Addr.Addr()}},
					{addr: netip.MustParseAddr("10.96.0.2"), endpoint: endpoint{pods[0].Netns, netip.MustParseAddr("10.22.0.2")}},
					{addr: netip.MustParseAddr("10.96.0.3"), endpoint: endpoint{pods[1].Netns, netip.MustParseAddr("10.22.0.3")}},
				}
				proxy.write(t, n, services)
				// What the reference's ipMasq leaves in iptables, empty.
				feed(t, n.Netns, "iptables", "*nat\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n", "iptables-restore", "--noflush")
				links := n.Snapshot()
				before, err := n.TakeState(t.Context())
				must(t, err)
				conf := network(n, podNet(), object{
					"bridge": "cni0", "isDefaultGateway": true, "ipMasq": true, "serviceCIDRs": []string{serviceCIDR},
				})
				for i, p := range pods {
					if addr := address(t, attach(t, n, conf, p)); addr != services[i+1].endpoint.addr {
						t.Fatalf("%s has %s", p.Name(), addr)
					}
					answers(p.Netns, ":8080")
				}
				node, first, second := n.Addr.Addr(), services[1].endpoint, services[2].endpoint
				put(t, []lab.Question{
					services[0].asked(first.ns, node), services[1].asked(first.ns, node), services[2].asked(first.ns, node),
					endpoint{client.Netns, client.Addr.Addr()}.asked(first.ns, node), // ipMasq
					second.asked(first.ns, first.addr), endpoint{n.Netns, node}.asked(first.ns, first.addr),
					services[0].asked(n.Netns, node),
				})
				for _, p := range pods {
					must(t, n.Check(t.Context(), conf, p))
				}
				for _, p := range pods {
					detach(t, n, conf, p)
				}
				asBefore(t, n, links)
				lab.Eventually(t, "the node is as before", func() error {
					now, err := n.TakeState(t.Context())
					if diff := cmp.Diff(before, now); diff != "" {
						return errors.New(diff)
					}
					return err
				})
			})
		}
	}
}
