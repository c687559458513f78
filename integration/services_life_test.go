package integration_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/integration/lab"
)

// TestAfterItsLastPodANodeIsAsBefore: rules of nftables and iptables, policy
// routing, routes of all tables, neighbours, sysctls. Docker's and kube-proxy's
// rules stand beside.
func TestAfterItsLastPodANodeIsAsBefore(t *testing.T) {
	t.Parallel()
	for _, bridgeNF := range []bool{false, true} {
		t.Run(fmt.Sprintf("bridge-nf %d", digit(bridgeNF)), func(t *testing.T) {
			t.Parallel()
			s := newServiceSite(t)
			for where, opts := range map[string]lab.NodeOptions{"numbered": {Bridge: "lan0"}, "unnumbered": {}} {
				n := s.Node(where, opts)
				docker(t, n)
				s.add(t, n, viaIPTables, bridgeNF)
			}
			s.serve(t) // without Pods
			var before []lab.State
			var links []lab.Snapshot
			for _, n := range s.nodes {
				state, err := n.TakeState(t.Context())
				must(t, err)
				before, links = append(before, state), append(links, n.Snapshot())
			}
			s.populate(t, 2)
			put(t, s.direct())
			for i, n := range s.nodes {
				with, err := n.TakeState(t.Context())
				must(t, err)
				changed := []bool{differ(before[i].Nft, with.Nft), differ(before[i].Routes, with.Routes), differ(before[i].Sysctls, with.Sysctls)}
				if slices.Contains(changed, false) {
					t.Errorf("with Pods, %s has no rules, routes or sysctls of ours: %v", n.Name(), changed)
				}
				for _, p := range slices.Backward(n.pods) {
					detach(t, n.Node, p.conf, p.Pod)
				}
				asBefore(t, n.Node, links[i])
				lab.Eventually(t, n.Name()+" is as before", func() error {
					now, err := n.TakeState(t.Context())
					if diff := cmp.Diff(before[i], now); diff != "" {
						return errors.New(diff)
					}
					return err
				})
			}
		})
	}
}

// differ tells whether the state knows of Pods at all.
func differ(a, b []string) bool { return !slices.Equal(a, b) }
