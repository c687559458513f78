package leg_test

import "testing"

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
