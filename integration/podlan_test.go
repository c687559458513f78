package integration_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// podlan runs the operator's command on the node and returns what it printed.
func podlan(t *testing.T, node *lab.Node, args ...string) string {
	t.Helper()
	root, err := lab.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	out, err := node.Command(t.Context(), filepath.Join(root, "bin", "podlan"), append(args, "--socket", node.Socket())...).Output()
	if err != nil {
		t.Fatalf("podlan %v: %v", args, err)
	}
	return string(out)
}

// leasesOf are the leases that the node's podland holds.
func leasesOf(t *testing.T, node *lab.Node) []leaseapi.Lease {
	t.Helper()
	var leases []leaseapi.Lease
	if err := json.Unmarshal([]byte(podlan(t, node, "leases", "-o", "json")), &leases); err != nil {
		t.Fatal(err)
	}
	return leases
}

// forgetResults takes away what libcni has cached on the node, as a power cut
// does: it then has no DEL to call by itself.
func forgetResults(t *testing.T, node *lab.Node) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(node.Dir(), "cni-cache")); err != nil {
		t.Fatal(err)
	}
}

func TestTheOperatorSeesWhatTheNodeHolds(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	conf := network(node, leased())
	at := lab.Attachment{Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "shop"}, {"K8S_POD_NAME", "web-0"}}}
	result := attach(t, node, conf, node.Pod("p1"), at)
	addr := address(t, result)

	table := podlan(t, node, "leases")
	for _, want := range []string{"ADDRESS", addr.String() + "/16", result.Interfaces[2].Mac, "shop/web-0", "eth0", "lan"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table does not show %q:\n%s", want, table)
		}
	}
	leases := leasesOf(t, node)
	if len(leases) != 1 || leases[0].Address.Addr() != addr || leases[0].Pod != "shop/web-0" || leases[0].State != leaseapi.StateBound {
		t.Errorf("leases: %+v", leases)
	}
	status := podlan(t, node, "status")
	for _, want := range []string{"podland", "1 bound", "eth1", "lan0", node.StateDir()} {
		if !strings.Contains(status, want) {
			t.Errorf("the status does not show %q:\n%s", want, status)
		}
	}
	var parsed leaseapi.Status
	if err := json.Unmarshal([]byte(podlan(t, node, "status", "-o", "json")), &parsed); err != nil || parsed.Leases[leaseapi.StateBound] != 1 {
		t.Errorf("status: %+v, %v", parsed, err)
	}
}
