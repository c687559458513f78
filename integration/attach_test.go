package integration_test

import (
	"testing"
)

func TestAPodWithHostLocalAddressIsANeighbourOfTheHosts(t *testing.T) {
	t.Parallel()
	client, node := lanWithoutDHCP(t)
	conf := network(node, hostLocal())
	pod := node.Pod("p1")

	result := attach(t, node, conf, pod)
	addr := address(t, result)
	reaches(t, client, addr)
	reaches(t, node, addr)
	reaches(t, pod, client.Addr.Addr())
	if err := node.Check(t.Context(), conf, pod); err != nil {
		t.Errorf("CHECK: %v", err)
	}
	detach(t, node, conf, pod)
}
