package pod_test

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/pod"
)

func TestRoutesStandWithoutCarrierAsIPAMGaveThem(t *testing.T) {
	table, scope := 100, unix.RT_SCOPE_LINK
	v4 := []pod.Addr{{Prefix: netip.MustParsePrefix("198.18.1.1/16"), Gateway: netip.MustParseAddr("198.18.0.1")}}
	v6 := []pod.Addr{{Prefix: netip.MustParsePrefix("fd00::1:1/64"), Gateway: netip.MustParseAddr("fd00::1")}}
	host := []pod.Addr{{Prefix: netip.MustParsePrefix("198.18.1.1/32"), Gateway: netip.MustParseAddr("10.0.0.1")}}
	tests := map[string]struct {
		addrs []pod.Addr
		route types.Route
		want  string
	}{
		"the address's gateway":          {v4, types.Route{Dst: cidr("0.0.0.0/0")}, "0.0.0.0/0 via 198.18.0.1 table 254"},
		"its own gateway":                {v4, types.Route{Dst: cidr("10.0.0.0/8"), GW: net.ParseIP("198.18.0.9")}, "10.0.0.0/8 via 198.18.0.9 table 254"},
		"IPv6":                           {v6, types.Route{Dst: cidr("::/0")}, "::/0 via fd00::1 table 254 priority 1024"},
		"IPv6 by a link-local gateway":   {v6, types.Route{Dst: cidr("::/0"), GW: net.ParseIP("fe80::1")}, "::/0 via fe80::1 table 254 priority 1024"},
		"no gateway at all":              {v6, types.Route{Dst: cidr("10.0.0.0/8")}, "10.0.0.0/8 table 254"},
		"a gateway outside the prefix":   {host, types.Route{Dst: cidr("0.0.0.0/0")}, "0.0.0.0/0 via 10.0.0.1 table 254 onlink"},
		"MTU, AdvMSS, priority, a table": {v4, types.Route{Dst: cidr("10.0.0.0/8"), MTU: 1300, AdvMSS: 1200, Priority: 7, Table: &table}, "10.0.0.0/8 via 198.18.0.1 table 100 priority 7 mtu 1300 advmss 1200"},
		"on the link beside a gateway":   {v4, types.Route{Dst: cidr("10.0.0.0/8"), Scope: &scope}, "10.0.0.0/8 table 254 scope link"},
		"a scope":                        {v6, types.Route{Dst: cidr("10.0.0.0/8"), Scope: &scope}, "10.0.0.0/8 table 254 scope link"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			if err := pod.Create(t.Context(), s.node.Handle, s.spec); err != nil {
				t.Fatal(err)
			}
			cfg := pod.IPConfig{Addrs: test.addrs, Routes: []*types.Route{&test.route, &test.route}}
			if err := pod.Configure(t.Context(), s.spec.Netns, "eth0", cfg); err != nil {
				t.Fatal(err)
			}
			if got := s.routes(t); !slices.Contains(got, test.want) {
				t.Errorf("want %q among\n%s", test.want, strings.Join(got, "\n"))
			}
		})
	}
}

func TestAPodTakesNoAddressButIPAMs(t *testing.T) {
	tests := map[string]struct {
		cfg  pod.IPConfig
		want map[string]string
	}{
		"IPv4 alone": {
			pod.IPConfig{Addrs: config().Addrs[:1]},
			map[string]string{"accept_ra": "0", "autoconf": "0", "accept_dad": "0"},
		},
		"IPv6 as well": {
			config(),
			map[string]string{"accept_ra": "1", "autoconf": "0", "accept_dad": "0", "disable_ipv6": "0", "keep_addr_on_down": "1"},
		},
		"IPv6 with duplicate detection": {
			pod.IPConfig{Addrs: config().Addrs, EnableDAD: true},
			map[string]string{"accept_ra": "1", "autoconf": "0", "accept_dad": "1", "disable_ipv6": "0"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.attach(t, test.cfg, pod.PortFlags{})
			got := make(map[string]string)
			for key := range test.want {
				got[key] = s.pod.Sysctl(t, "net/ipv6/conf/eth0/"+key)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

// The guard knows this address and no other of its kind.
func TestThePodsLinkLocalAddressIsMadeFromItsMAC(t *testing.T) {
	s := newSite(t)
	s.attach(t, config(), pod.PortFlags{})
	addrs, err := s.pod.Addrs(s.pod.Must(t, "eth0").Attrs().Index)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if a.IP.Equal(net.ParseIP("fe80::ff:fe00:1")) {
			return
		}
	}
	t.Errorf("the Pod bears %v", addrs)
}
