package vlan_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// The last Pod of a VLAN goes while the next one's ADD is on its way, again and
// again: what one makes is the other's too.
func TestPodsThatComeAndGoAtOnceLeaveLinksBridgesAndVLANTablesAsTheyWere(t *testing.T) {
	t.Parallel()
	const pods, rounds = 20, 3
	vids := []uint16{10, 20, 30, 40}
	rtnltest.NeedVLAN(t)
	for _, m := range modes() {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			vlans := map[uint16]lab.VLANOptions{}
			for _, vid := range vids {
				vlans[vid] = lab.VLANOptions{}
			}
			s := newSiteWith(t, m, vlans)
			s.node.StartPodland()
			router, session := s.Tap("router", vids...), s.session(t)
			before := s.node.Snapshot()
			for round := range rounds {
				var all sync.WaitGroup
				for i := range pods {
					pod := s.node.Pod(fmt.Sprintf("p%d-%d", round, i))
					all.Go(func() { s.comesAndGoes(t, pod, vids[i%len(vids)], router) })
				}
				all.Wait()
				session.echo(t)
				if t.Failed() {
					return
				}
				asBefore(t, s.node, before)
			}
			for _, vid := range vids {
				s.server(vid).AwaitLeases(0)
			}
		})
	}
}

// comesAndGoes attaches the Pod, has it answer on its VLAN, where a router
// advertises, and detaches it.
func (s *site) comesAndGoes(t *testing.T, pod *lab.Pod, vid uint16, router *lab.Host) {
	t.Helper()
	// On an emulated machine twenty plugins at once take long to begin.
	conf := network(s.node, leased(), s.mode.keys(vid), object{"budget": "5m"})
	result, err := s.node.Add(t.Context(), conf, pod)
	if err != nil {
		t.Errorf("ADD of %s on VLAN %d: %v", pod.Name(), vid, err)
		return
	}
	addr := address(t, lab.Result(t, result))
	if err := s.hosts[vid].Ping(within(t), addr); err != nil {
		t.Errorf("%s on VLAN %d: %v", pod.Name(), vid, err)
	}
	advertise(t, router, vid)
	if err := s.node.Del(t.Context(), conf, pod); err != nil {
		t.Errorf("DEL of %s: %v", pod.Name(), err)
	}
}
