//go:build kube

package kube_test

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/integration/lab"
)

// apiService is the first Service of every cluster.
const apiService = "https://10.96.0.1/livez"

// reachesAPIServer: a Pod that cannot is none of Kubernetes.
func (s *site) reachesAPIServer(t *testing.T) {
	for _, n := range s.nodes {
		for _, p := range n.pods() {
			client := &http.Client{Transport: &http.Transport{
				DialContext:       p.Dial,
				TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // who answers is not the question
				DisableKeepAlives: true,
			}}
			lab.Eventually(t, p.Name()+" reaches the API server", func() error {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, apiService, nil)
				if err != nil {
					return err
				}
				resp, err := client.Do(req)
				if err != nil {
					return err
				}
				return resp.Body.Close()
			})
		}
	}
}

// leavesNothing: a Pod comes and goes while kube-proxy's rules and those of other
// Pods stand.
func (s *site) leavesNothing(t *testing.T) {
	for _, n := range s.nodes {
		before, err := state(t, n)
		if err != nil {
			t.Fatal(err)
		}
		a := n.Addr.Addr().As4()
		a[2] += 78
		conf, p := n.network("short", static(netip.AddrFrom4(a), s.Gateway()), n.near), n.Pod("short")
		if _, err := n.Add(t.Context(), conf, p); err != nil {
			t.Fatal(err)
		}
		put(t, []question{ask(p.Netns, netip.AddrPortFrom(s.host.Addr.Addr(), target), s.host.Netns, netip.AddrFrom4(a))})
		if err := n.Del(t.Context(), conf, p); err != nil {
			t.Fatal(err)
		}
		lab.Eventually(t, n.Name()+" is as before", func() error {
			now, err := state(t, n)
			if diff := cmp.Diff(before, now); diff != "" {
				return errors.New(diff)
			}
			return err
		})
	}
}

// state is the node's, in no order: kube-proxy writes its rules in any.
func state(t *testing.T, n *node) (lab.State, error) {
	t.Helper()
	s, err := n.TakeState(t.Context())
	slices.Sort(s.Nft)
	slices.Sort(s.IPTables)
	return s, err
}
