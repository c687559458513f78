package integration_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// serviceLAN is a LAN of a host that serves and of a node with kube-proxy's rules
// for it: the Service's address is in serviceCIDR.
func serviceLAN(t *testing.T, addr string) (node *lab.Node, asked lab.Question) {
	t.Helper()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	host, node := l.Host("host"), l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	answers(host.Netns, ":8080")
	must(t, node.SetSysctl("net.ipv4.ip_forward", "1"))
	s := service{addr: netip.MustParseAddr(addr), endpoint: endpoint{host.Netns, host.Addr.Addr()}}
	viaNFTables.write(t, node, []service{s})
	return node, s.asked(nil, node.Addr.Addr())
}

func TestAPodReachesAServiceAndNothingOfThatStays(t *testing.T) {
	t.Parallel()
	node, ask := serviceLAN(t, "10.96.0.10")
	links := node.Snapshot()
	before, err := node.TakeState(t.Context())
	must(t, err)
	conf, pod := network(node, hostLocal(), object{"serviceCIDRs": []string{serviceCIDR}}), node.Pod("p1")
	attach(t, node, conf, pod)
	ask.From = pod.Netns
	put(t, []lab.Question{ask})
	must(t, node.Check(t.Context(), conf, pod))
	detach(t, node, conf, pod)
	asBefore(t, node, links)
	now, err := node.TakeState(t.Context())
	must(t, err)
	if diff := cmp.Diff(before, now); diff != "" {
		t.Errorf("the node is not as before (-before +after):\n%s", diff)
	}
}

// A cluster gets a second network of Services: running Pods follow where podland
// may enter them; else `podlan status` says which do not.
func TestRunningPodsFollowTheirCluster(t *testing.T) {
	t.Parallel()
	for _, access := range []bool{true, false} {
		t.Run(fmt.Sprintf("Pod access %t", access), func(t *testing.T) {
			t.Parallel()
			node, ask := serviceLAN(t, "10.200.0.10")
			node.StartPodland(lab.PodlandOptions{Unprivileged: !access})
			conf := func(cidrs ...string) []byte { return network(node, leased(), object{"serviceCIDRs": cidrs}) }
			old, young := node.Pod("old"), node.Pod("young")
			attach(t, node, conf(serviceCIDR), old)
			attach(t, node, conf(serviceCIDR, "10.200.0.0/16"), young)
			if access {
				lab.Eventually(t, "no Pod is behind", func() error { return behind(t, node) })
				ask.From = old.Netns
			} else {
				lab.Eventually(t, "the status says what the Pod lacks", func() error { return behind(t, node, "10.200.0.0/16") })
				ask.From = young.Netns
			}
			put(t, []lab.Question{ask})
			must(t, node.Check(t.Context(), conf(serviceCIDR), old))
			for _, p := range []*lab.Pod{old, young} {
				detach(t, node, conf(serviceCIDR), p)
			}
		})
	}
}

// behind is nil if the status of a node with Pods speaks of one Pod that lacks
// exactly this, or of none.
func behind(t *testing.T, node *lab.Node, lacks ...string) error {
	t.Helper()
	var status leaseapi.Status
	must(t, json.Unmarshal([]byte(podlan(t, node, "status", "-o", "json")), &status))
	s := status.Services
	switch {
	case s == nil || len(s.Networks) != 1 || s.Networks[0].Pods != 2 || s.Networks[0].NodeIP != node.Addr.Addr():
		return fmt.Errorf("no status of two Pods: %+v", s)
	case len(lacks) == 0 && len(s.Behind) == 0:
		return nil
	case len(s.Behind) != 1 || !slices.Equal(s.Behind[0].Lacks, lacks):
		return fmt.Errorf("behind: %+v", s.Behind)
	case !strings.Contains(podlan(t, node, "status"), "10.200.0.0/16"):
		return errors.New("the table does not say it")
	}
	return nil
}
