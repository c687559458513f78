package integration_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/leg"
)

// TestAddressesThatIPVSNeedsAreNoRoutesOfAPod: kube-proxy's mode ipvs gives its
// device kube-ipvs0 the address of every Service, and of every load balancer
// beyond the Services' network. Pods reach these by one route, or as anybody on
// the LAN does, whether the addresses come before the Pod or after it.
func TestAddressesThatIPVSNeedsAreNoRoutesOfAPod(t *testing.T) {
	t.Parallel()
	node, ask := serviceLAN(t, "10.96.0.10")
	node.StartPodland()
	conf := network(node, leased(), object{"serviceCIDRs": []string{serviceCIDR}})
	pods := []*lab.Pod{node.Pod("before"), node.Pod("after")}
	attach(t, node, conf, pods[0])
	must(t, node.AddBridge("kube-ipvs0", false)) // a dummy, where the kernel has such
	for i := range 250 {
		must(t, node.AddAddress("kube-ipvs0", netip.MustParsePrefix(fmt.Sprintf("10.96.1.%d/32", i))))
		must(t, node.AddAddress("kube-ipvs0", netip.MustParsePrefix(fmt.Sprintf("203.0.113.%d/32", i))))
	}
	// The last that comes is of another device, so it tells that podland has seen
	// all.
	const other = "192.0.2.1/32"
	must(t, node.AddAddress("lo", netip.MustParsePrefix(other)))
	attach(t, node, conf, pods[1])
	for _, p := range pods {
		lab.Eventually(t, p.Name()+" has two routes by its leg", func() error {
			if diff := cmp.Diff([]string{serviceCIDR, other}, byLeg(t, p)); diff != "" {
				return fmt.Errorf("-want +got:\n%s", diff)
			}
			return nil
		})
		must(t, node.Check(t.Context(), conf, p))
		ask.From = p.Netns
		put(t, []lab.Question{ask})
	}
	lab.Eventually(t, "no Pod is behind", func() error { return behind(t, node) })
}

// byLeg are the destinations of the Pod's routes by its leg.
func byLeg(t *testing.T, p *lab.Pod) (dsts []string) {
	t.Helper()
	h, err := p.Netlink()
	must(t, err)
	routes, err := h.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Gw: net.IP(leg.Gateway().AsSlice())}, netlink.RT_FILTER_GW)
	must(t, err)
	for _, r := range routes {
		dsts = append(dsts, r.Dst.String())
	}
	slices.Sort(dsts)
	return dsts
}
