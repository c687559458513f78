package integration_test

import (
	"strconv"
	"testing"

	"github.com/podlan/podlan/integration/lab"
)

// TestServicesWithTheNodesAddressOnAnotherNICOfThePodsSubnet: the Pods' bridge has
// a spare NIC as its uplink, and no address; whatever node and Pods think of ways
// that differ.
func TestServicesWithTheNodesAddressOnAnotherNICOfThePodsSubnet(t *testing.T) {
	t.Parallel()
	s := newServiceSite(t)
	for filter := range 3 {
		n := s.add(t, s.Node("rp-filter-"+strconv.Itoa(filter), lab.NodeOptions{}), viaNFTables, false)
		filterPaths(t, n.Netns, filter)
	}
	s.populate(t, 1)
	for filter, n := range s.nodes {
		filterPaths(t, n.Netns, filter)
		for _, p := range n.pods {
			filterPaths(t, p.Netns, filter)
		}
	}
	s.askAll(t)
	checkAll(t, s)
}

// filterPaths sets rp_filter on all links there are, and on those to come.
func filterPaths(t *testing.T, n *lab.Netns, value int) {
	t.Helper()
	links, err := n.Links()
	must(t, err)
	for _, link := range append(links, "all", "default") {
		must(t, n.SetSysctl("net/ipv4/conf/"+link+"/rp_filter", strconv.Itoa(value)))
	}
}
