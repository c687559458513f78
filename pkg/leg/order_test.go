package leg_test

import (
	"net"
	"testing"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// TestALegStandsBeforeTheFirstFrame, as everything of a port does, and outlives
// the loss of carrier by which podland withdraws an address.
func TestALegStandsBeforeTheFirstFrame(t *testing.T) {
	p := apart(t)
	p.nodePort(t)
	port := p.node.Must(t, p.leg.Port).Attrs().Index
	must(t, p.node.SetDown(port))
	p.downAndUp(t) // now as new, without carrier
	must(t, p.configure(t))
	must(t, p.verify(t))
	for range 2 {
		must(t, p.node.SetUp(port))
		wantTalk(t, "a probe", p.node, p.pod, podAddr+":80", podAddr+":80", nodeAddr)
		wantTalk(t, "a NodePort", p.host, p.pod, podAddr+":80", nodeAddr+":30080", hostOnNode)
		must(t, p.node.SetDown(port))
		must(t, p.verify(t))
	}
}

// TestAPodKeepsItsNodeWhenTheBridgesMACChanges: an administrator's bridge has that
// of its lowest port. Only answers in a client's name wait for podland.
func TestAPodKeepsItsNodeWhenTheBridgesMACChanges(t *testing.T) {
	for name, build := range map[string]func(*testing.T) *place{"on two networks": apart, "on one network": together} {
		t.Run(name, func(t *testing.T) {
			p := build(t)
			p.nodePort(t)
			pod := p.leg.Addrs[0].Addr().String()
			p.side.PortMAC = p.node.Must(t, p.leg.Port).Attrs().HardwareAddr
			must(t, p.configure(t))
			mac := net.HardwareAddr{2, 0, 0, 0, 7, 7}
			must(t, p.node.SetMAC(p.node.Must(t, "lan0").Attrs().Index, mac))
			wantTalk(t, "a probe", p.node, p.pod, pod+":80", pod+":80", nodeAddr)
			wantTalk(t, "a service of the node", p.pod, p.node, nodeAddr+":53", nodeAddr+":53", pod)
			p.side.LegMAC = mac
			wantCode(t, p.verify(t), leaseapi.CodeChanged)
			must(t, p.configure(t))
			must(t, p.verify(t))
			wantTalk(t, "a NodePort", p.host, p.pod, pod+":80", nodeAddr+":30080", hostOnNode)
		})
	}
}
