package integration_test

import (
	"testing"

	"github.com/podlan/podlan/integration/lab"
)

func TestPodsOfTwoNodesAreNeighboursWithAddressesOfOneServer(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Dnsmasq}))
	first, second := l.Node("n1", lab.NodeOptions{Bridge: "lan0"}), l.Node("n2", lab.NodeOptions{Bridge: "lan0"})
	first.StartPodland()
	second.StartPodland()
	here, there := first.Pod("p1"), second.Pod("p1")
	addrHere := address(t, attach(t, first, network(first, leased()), here))
	addrThere := address(t, attach(t, second, network(second, leased()), there))
	if addrHere == addrThere {
		t.Fatalf("both have %s", addrHere)
	}
	reaches(t, here, addrThere)
	reaches(t, there, addrHere)
	reaches(t, first, addrThere)
	detach(t, first, network(first, leased()), here)
	detach(t, second, network(second, leased()), there)
	awaitNoLease(t, l.Server(), addrHere, addrThere)
}
