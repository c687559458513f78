package segment

import (
	"net"
	"slices"
	"testing"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

func ipNet(t *testing.T, s string) *net.IPNet {
	t.Helper()
	ip, n, err := net.ParseCIDR(s)
	must(t, err)
	return &net.IPNet{IP: ip, Mask: n.Mask}
}

// opened gives the segment the gateway, and returns who bears it.
func opened(t *testing.T, n *rtnltest.Netns, seg Segment, addr *net.IPNet) string {
	t.Helper()
	name, err := Gateway(t.Context(), n.Handle, seg, addr, false)
	must(t, err)
	return name
}

func TestGateway(t *testing.T) {
	tests := map[string]struct {
		bears   []string
		addr    string
		force   bool
		want    []string
		refused bool
	}{
		"the first address":       {nil, "198.18.0.1/16", false, []string{"198.18.0.1/16"}, false},
		"the same address":        {[]string{"198.18.0.1/16"}, "198.18.0.1/16", false, []string{"198.18.0.1/16"}, false},
		"another IPv4 address":    {[]string{"10.0.0.1/8"}, "198.18.0.1/16", false, []string{"10.0.0.1/8"}, true},
		"another, by force":       {[]string{"10.0.0.1/8"}, "198.18.0.1/16", true, []string{"198.18.0.1/16"}, false},
		"IPv6 beside IPv4":        {[]string{"10.0.0.1/8"}, "fd00::1/64", false, []string{"10.0.0.1/8", "fd00::1/64"}, false},
		"a second IPv6 prefix":    {[]string{"fd01::1/64"}, "fd00::1/64", false, []string{"fd00::1/64", "fd01::1/64"}, false},
		"an IPv6 prefix over its": {[]string{"fd00::2/64"}, "fd00::1/64", false, []string{"fd00::2/64"}, true},
		"the same, by force":      {[]string{"fd00::2/64"}, "fd00::1/64", true, []string{"fd00::1/64"}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.Bridge(t, "lan0")
			for _, a := range test.bears {
				n.Address(t, "lan0", a)
			}
			seg := mustEnsure(t, n, Spec{Bridge: "lan0"})
			_, err := Gateway(t.Context(), n.Handle, seg, ipNet(t, test.addr), test.force)
			if test.refused {
				refused(t, err, leaseapi.CodeConfig, "forceAddress")
			} else if err != nil {
				t.Error(err)
			}
			var got []string
			addrs, err := n.Addrs(seg.Index)
			must(t, err)
			for _, a := range addrs {
				if !a.IP.IsLinkLocalUnicast() {
					got = append(got, a.IPNet.String())
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, test.want) {
				t.Errorf("the bridge bears %v, want %v", got, test.want)
			}
		})
	}
}

func TestAGatewayForwardsItsFamilyAndGivesAMadeBridgeItsIPv6(t *testing.T) {
	n := newNode(t)
	seg := mustEnsure(t, n, Spec{Bridge: "cni0"})
	opened(t, n, seg, ipNet(t, "198.18.0.1/16"))
	settings := func() [3]string {
		return [3]string{
			n.Sysctl(t, "net/ipv4/ip_forward"), n.Sysctl(t, "net/ipv6/conf/all/forwarding"), n.Sysctl(t, "net/ipv6/conf/cni0/disable_ipv6"),
		}
	}
	if got := settings(); got != [3]string{"1", "0", "1"} {
		t.Errorf("after IPv4: ip_forward, IPv6 forwarding, disable_ipv6 = %v", got)
	}
	opened(t, n, seg, ipNet(t, "fd00::1/64"))
	if got := settings(); got != [3]string{"1", "1", "0"} {
		t.Errorf("after IPv6: ip_forward, IPv6 forwarding, disable_ipv6 = %v", got)
	}
}
