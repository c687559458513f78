package integration_test

import (
	"testing"

	"github.com/podlan/podlan/integration/lab"
)

// Another main plugin's interface is down until it has the address that is asked
// for through it.
func TestPodlanDHCPAsksFromThePodUnderTheReferenceBridge(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Dnsmasq}))
	client := l.Host("client")
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	conf := network(node, object{"type": "podlan-dhcp", "dhcpFrom": "pod"}, object{"cniVersion": "1.0.0", "type": "bridge"})
	pod := node.Pod("p1")
	addr := address(t, attach(t, node, conf, pod))
	reaches(t, client, addr)
	detach(t, node, conf, pod)
	awaitNoLease(t, l.Server(), addr)
}
