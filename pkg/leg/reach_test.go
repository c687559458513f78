package leg_test

import "testing"

// TestNodeAndPodReachEachOther: over the leg alone, whatever the node and the Pod
// think of ways that differ (rp_filter).
func TestNodeAndPodReachEachOther(t *testing.T) {
	for name, build := range map[string]func(*testing.T) *place{"on two networks": apart, "on one network, by another NIC": together} {
		for _, filter := range []string{"0", "1", "2"} {
			t.Run(name+", rp_filter "+filter, func(t *testing.T) {
				p := build(t)
				p.filter(t, p.node, filter)
				p.filter(t, p.pod, filter)
				pod := p.leg.Addrs[0].Addr().String()
				// What they say to each other does not pass by the LAN.
				for _, nic := range []string{"nic0", "nic1"} {
					must(t, p.host.SetDown(p.host.Must(t, nic).Attrs().Index))
				}
				wantTalk(t, "a probe", p.node, p.pod, pod+":80", pod+":80", nodeAddr)
				wantTalk(t, "a service of the node", p.pod, p.node, nodeAddr+":53", nodeAddr+":53", pod)
			})
		}
	}
}

// TestTheLANSeesAndIsSeenByItsOwnAddresses: the leg changes nothing between Pod
// and LAN.
func TestTheLANSeesAndIsSeenByItsOwnAddresses(t *testing.T) {
	for name, build := range map[string]func(*testing.T) *place{hostOnPods: apart, hostOnNode: together} {
		p := build(t)
		pod := p.leg.Addrs[0].Addr().String()
		wantTalk(t, "from the LAN", p.host, p.pod, pod+":80", pod+":80", name)
		wantTalk(t, "to the LAN", p.pod, p.host, name+":80", name+":80", pod)
		wantTalk(t, "the node and the LAN", p.host, p.node, nodeAddr+":22", nodeAddr+":22", hostOnNode)
	}
}

// TestAClientsAddressArrivesAndItsAnswerReturnsByTheNode: the Pod's own route to
// the client passes by the node, and would bring an answer that nobody asked for.
func TestAClientsAddressArrivesAndItsAnswerReturnsByTheNode(t *testing.T) {
	for name, build := range map[string]func(*testing.T) *place{"of another network": apart, "of the Pod's network": together} {
		for _, filter := range []string{"0", "1", "2"} {
			t.Run(name+", rp_filter "+filter, func(t *testing.T) {
				p := build(t)
				p.nodePort(t)
				p.filter(t, p.node, filter)
				p.filter(t, p.pod, filter)
				pod := p.leg.Addrs[0].Addr().String()
				wantTalk(t, "a NodePort", p.host, p.pod, pod+":80", nodeAddr+":30080", hostOnNode)
			})
		}
	}
}
