package integration_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/podlan/podlan/integration/lab"
)

// TestServicesBesideDocker: whose bridge is older than ours, where the kernel
// looks for an address if the bridge that it sends by has none; and whose policy
// of FORWARD is DROP.
func TestServicesBesideDocker(t *testing.T) {
	t.Parallel()
	for _, bridgeNF := range []bool{false, true} {
		t.Run(fmt.Sprintf("bridge-nf %d", digit(bridgeNF)), func(t *testing.T) {
			t.Parallel()
			s := newServiceSite(t)
			for _, proxy := range []proxyMode{viaIPTables, viaNFTables} {
				for where, opts := range map[string]lab.NodeOptions{"numbered": {Bridge: "lan0"}, "unnumbered": {}} {
					n := s.Node(string(proxy)+"-"+where, opts)
					docker(t, n)
					s.add(t, n, proxy, bridgeNF)
				}
			}
			s.populate(t, 1)
			s.askAll(t)
			checkAll(t, s)
		})
	}
}

// docker has the node's kernel have what Docker 28 makes before the first
// container.
func docker(t *testing.T, n *lab.Node) {
	t.Helper()
	must(t, n.AddBridge("docker0", false))
	must(t, n.AddAddress("docker0", netip.MustParsePrefix("172.17.0.1/16")))
	feed(t, n.Netns, "iptables", `*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
COMMIT
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
:DOCKER-FORWARD - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER-FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -o docker0 -j DOCKER
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER ! -i docker0 -o docker0 -j DROP
COMMIT
`, "iptables-restore", "--noflush")
}
