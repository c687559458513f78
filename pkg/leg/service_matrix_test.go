package leg_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// beside is a place where the bridge itself has the node's address.
func beside(t *testing.T) *place {
	t.Helper()
	p := newPlace(t, rtnltest.New(t), "192.0.2.50/24", nodeAddr+"/24")
	p.host.Address(t, "nic1", hostOnNode+"/24")
	p.node.Address(t, "lan0", nodeAddr+"/24")
	byDefault(t, p.node, "lan0", hostOnNode)
	byDefault(t, p.pod, "eth0", hostOnNode)
	p.add(t)
	return p
}

// apartAndDocker is apart on a node with a bridge of Docker's that is older than
// ours: what the kernel finds for a bridge without an address.
func apartAndDocker(t *testing.T) *place {
	t.Helper()
	node := rtnltest.New(t)
	node.Bridge(t, "docker0")
	node.Address(t, "docker0", "172.17.0.1/16")
	return inOtherNetwork(t, node)
}

func places() map[string]func(*testing.T) *place {
	return map[string]func(*testing.T) *place{
		"the node's address on the bridge": beside, "on another NIC of the network": together,
		"on another network": apart, "on another network, beside docker0": apartAndDocker,
	}
}

// second is another Pod on the node.
func (p *place) second(t *testing.T) (*rtnltest.Netns, leg.Leg) {
	t.Helper()
	pod, l := rtnltest.New(t), p.leg
	l.Port = "vethpl000000002"
	l.Addrs = []netip.Prefix{netip.PrefixFrom(p.leg.Addrs[0].Addr().Next(), p.leg.Addrs[0].Bits())}
	must(t, p.node.SetMaster(p.node.Cable(t, l.Port, pod, "eth0"), p.node.Must(t, "lan0").Attrs().Index))
	p.filter(t, pod, "0")
	pod.Address(t, "eth0", l.Addrs[0].String())
	l.MAC = pod.Must(t, "eth0").Attrs().HardwareAddr
	must(t, p.routes.Add(t.Context(), l, these(p.leg)))
	side := p.side
	side.Addrs = l.Addrs
	must(t, leg.ConfigurePod(t.Context(), pod.Path, "eth0", side))
	return pod, l
}

// answers are the endpoints of the matrix: where each is, and as whom the first
// Pod is seen there.
type answer struct {
	what, addr string
	at         *rtnltest.Netns
	seen       string
}

func (p *place) answers(t *testing.T) []answer {
	t.Helper()
	pod := p.leg.Addrs[0].Addr().String()
	neighbour, l := p.second(t)
	all := []answer{
		{"itself", pod, p.pod, nodeAddr},
		{"a Pod of the node", l.Addrs[0].Addr().String(), neighbour, nodeAddr},
		{"the node", nodeAddr, p.node, pod},
	}
	for link, nic := range map[string]string{hostOnPods: "nic1", hostOnNode: "nic0"} {
		addrs, err := p.host.AllAddrs()
		must(t, err)
		for _, a := range addrs {
			if a.IP.String() == link {
				all = append(all, answer{"a LAN host or a Pod elsewhere by " + nic, link, p.host, nodeAddr})
			}
		}
	}
	return all
}

func serviceOf(i int, a answer) service {
	return service{fmt.Sprintf("10.96.0.%d:80", i+1), a.addr + ":8080"}
}

// TestAPodReachesAServiceWhereverItsEndpointIs: and is seen as docs/services.md
// promises.
func TestAPodReachesAServiceWhereverItsEndpointIs(t *testing.T) {
	for where, newPlace := range places() {
		for mode, proxy := range proxies() {
			for _, nf := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, bridge-nf %v", where, mode, nf), func(t *testing.T) {
					p := newPlace(t)
					all := p.answers(t)
					var services []service
					for i, a := range all {
						services = append(services, serviceOf(i, a))
					}
					proxy(t, p.node, services...)
					p.bridgeNF(t, nf)
					for _, n := range []*rtnltest.Netns{p.node, p.pod, all[1].at} { // the strict one and the loose
						p.filter(t, n, map[string]string{"iptables": "1", "nftables": "2"}[mode])
					}
					for i, a := range all {
						wantTalk(t, a.what, p.pod, a.at, services[i].endpoint, services[i].addr, a.seen)
					}
					pod := p.leg.Addrs[0].Addr().String()
					wantTalk(t, "directly", p.pod, all[1].at, all[1].addr+":80", all[1].addr+":80", pod)
				})
			}
		}
	}
}

// TestWhatKubeProxyMasqueradesTowardsAPodBearsTheNodesAddress: its own rule
// takes an address of another link's where the bridge has none.
func TestWhatKubeProxyMasqueradesTowardsAPodBearsTheNodesAddress(t *testing.T) {
	for mode, proxy := range proxies() {
		for _, service4 := range []netconf.ServiceMode{netconf.ServiceSNAT, netconf.ServiceBridgeNF} {
			t.Run(fmt.Sprintf("%s, %s", mode, service4), func(t *testing.T) {
				p := apartAndDocker(t)
				p.leg.Service.Mode = service4
				p.bridgeNF(t, service4 == netconf.ServiceBridgeNF)
				p.add(t)
				pod := p.leg.Addrs[0].Addr().String()
				proxy(t, p.node, service{nodeAddr + ":30080", pod + ":80"}, service{"10.96.0.1:80", pod + ":80"})
				wantTalk(t, "a NodePort", p.host, p.pod, pod+":80", nodeAddr+":30080", nodeAddr)
				wantTalk(t, "from the node", p.node, p.pod, pod+":80", "10.96.0.1:80", nodeAddr)
				wantTalk(t, "the Pod itself", p.pod, p.pod, pod+":80", "10.96.0.1:80", nodeAddr)
			})
		}
	}
}

// TestModeBridgeNFKeepsThePodsAddress: replies are taken off the bridge.
func TestModeBridgeNFKeepsThePodsAddress(t *testing.T) {
	for mode, proxy := range proxies() {
		t.Run(mode, func(t *testing.T) {
			p := beside(t)
			p.leg.Service.Mode = netconf.ServiceBridgeNF
			p.bridgeNF(t, true)
			p.add(t)
			all := p.answers(t)
			var services []service
			for i, a := range all {
				services = append(services, serviceOf(i, a))
			}
			proxy(t, p.node, services...)
			p.bridgeNF(t, true) // the second's port too
			pod := p.leg.Addrs[0].Addr().String()
			for i, a := range all {
				seen := pod
				if a.at == p.pod {
					seen = nodeAddr
				}
				wantTalk(t, a.what, p.pod, a.at, services[i].endpoint, services[i].addr, seen)
			}
		})
	}
}

// TestAPodAsksItsOwnNodesPort: which is no Service network, and is sent on all
// the same.
func TestAPodAsksItsOwnNodesPort(t *testing.T) {
	for where, newPlace := range places() {
		t.Run(where, func(t *testing.T) {
			p := newPlace(t)
			neighbour, l := p.second(t)
			other := l.Addrs[0].Addr().String()
			// As with externalTrafficPolicy Local, or hostPort: nobody marks it.
			run(t, p.node, "nft", "table ip hostport { chain p { type nat hook prerouting priority dstnat; ip daddr "+nodeAddr+" tcp dport 8080 dnat to "+other+":80; }; }", "nft", "-f", "-")
			wantTalk(t, "a hostPort", p.pod, neighbour, other+":80", nodeAddr+":8080", nodeAddr)
		})
	}
}

// TestClientsAndProbesKeepTheirAddresses whether or not bridged frames pass
// iptables, beside kube-proxy's rules.
func TestClientsAndProbesKeepTheirAddresses(t *testing.T) {
	for where, newPlace := range places() {
		for _, nf := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, bridge-nf %v", where, nf), func(t *testing.T) {
				p := newPlace(t)
				viaIPTables(t, p.node)
				p.nodePort(t)
				p.bridgeNF(t, nf)
				pod := p.leg.Addrs[0].Addr().String()
				wantTalk(t, "a NodePort that stays on the node", p.host, p.pod, pod+":80", nodeAddr+":30080", hostOnNode)
				wantTalk(t, "a probe", p.node, p.pod, pod+":80", pod+":80", nodeAddr)
				wantTalk(t, "a service of the node", p.pod, p.node, nodeAddr+":53", nodeAddr+":53", pod)
				lan := hostOnNode
				if pod == podAddr {
					lan = hostOnPods
				}
				wantTalk(t, "from the LAN", p.host, p.pod, pod+":80", pod+":80", lan)
				wantTalk(t, "to the LAN", p.pod, p.host, lan+":80", lan+":80", pod)
			})
		}
	}
}
