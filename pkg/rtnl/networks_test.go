package rtnl_test

import (
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

func TestTheNodesNetworksAreThoseOfItsAddresses(t *testing.T) {
	n := rtnltest.New(t)
	for name, address := range map[string]string{
		"lan0": "198.18.0.7/16", "dummy0": "203.0.113.1/32", "link0": "169.254.20.10/32", "six0": "2001:db8::1/64",
	} {
		addr, err := netlink.ParseAddr(address)
		must(t, err)
		must(t, n.AddAddr(n.Bridge(t, name), addr))
	}
	must(t, n.SetUp(n.Must(t, "lo").Attrs().Index)) // 127.0.0.1/8 comes with it
	networks, err := n.Networks()
	must(t, err)
	var got []string
	for _, p := range networks {
		got = append(got, p.String())
	}
	if slices.Sort(got); !slices.Equal(got, []string{"198.18.0.0/16", "203.0.113.1/32"}) {
		t.Errorf("got %v", got)
	}
}
