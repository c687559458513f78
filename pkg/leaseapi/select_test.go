package leaseapi_test

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// told is a lease with everything that a server may tell.
func told() leaseapi.Lease {
	addr := netip.MustParseAddr
	return leaseapi.Lease{
		Address: netip.MustParsePrefix("192.0.2.7/24"), Router: addr("192.0.2.1"), DNS: []netip.Addr{addr("192.0.2.53")},
		Domain: "lan.example", Search: []string{"corp.example"}, MTU: 1400, NTP: []netip.Addr{addr("192.0.2.123")},
	}
}

func by(dst string) leaseapi.Route {
	return leaseapi.Route{Dst: netip.MustParsePrefix(dst), GW: netip.MustParseAddr("192.0.2.1")}
}

func routes(dst ...string) []leaseapi.Route {
	var out []leaseapi.Route
	for _, d := range dst {
		out = append(out, by(d))
	}
	return out
}

func TestIgnoredPartsAreLeftOut(t *testing.T) {
	cases := map[string]struct {
		ignore []leaseapi.Part
		want   func(*leaseapi.Lease)
	}{
		"nothing":       {nil, func(*leaseapi.Lease) {}},
		"dns":           {[]leaseapi.Part{leaseapi.PartDNS}, func(l *leaseapi.Lease) { l.DNS = nil }},
		"domain":        {[]leaseapi.Part{leaseapi.PartDomain}, func(l *leaseapi.Lease) { l.Domain = "" }},
		"search":        {[]leaseapi.Part{leaseapi.PartSearch}, func(l *leaseapi.Lease) { l.Search = nil }},
		"mtu":           {[]leaseapi.Part{leaseapi.PartMTU}, func(l *leaseapi.Lease) { l.MTU = 0 }},
		"routes":        {[]leaseapi.Part{leaseapi.PartRoutes}, func(l *leaseapi.Lease) { l.Routes = routes("0.0.0.0/0") }},
		"two":           {[]leaseapi.Part{leaseapi.PartMTU, leaseapi.PartDomain}, func(l *leaseapi.Lease) { l.MTU, l.Domain = 0, "" }},
		"a newer one's": {[]leaseapi.Part{"weather"}, func(*leaseapi.Lease) {}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			lease, want := told(), told()
			lease.Routes, want.Routes = routes("0.0.0.0/0", "203.0.113.0/24"), routes("0.0.0.0/0", "203.0.113.0/24")
			c.want(&want)
			same(t, want, leaseapi.Request{Ignore: c.ignore}.Select(lease))
		})
	}
}

func TestRoutesThatCoverAProtectedNetworkAreRefused(t *testing.T) {
	cases := map[string]struct {
		protected   []string
		given, used []string
		refused     []string
	}{
		"nothing protected":         {nil, []string{"10.0.0.0/8"}, []string{"10.0.0.0/8"}, nil},
		"no routes":                 {[]string{"10.96.0.0/12"}, nil, nil, nil},
		"another's":                 {[]string{"10.96.0.0/12"}, []string{"10.0.0.0/10", "172.16.0.0/12"}, []string{"10.0.0.0/10", "172.16.0.0/12"}, nil},
		"the same":                  {[]string{"10.96.0.0/12"}, []string{"10.96.0.0/12"}, nil, []string{"10.96.0.0/12"}},
		"around it":                 {[]string{"10.96.0.0/12"}, []string{"10.0.0.0/8"}, nil, []string{"10.0.0.0/8"}},
		"within it":                 {[]string{"10.96.0.0/12"}, []string{"10.96.0.1/32"}, nil, []string{"10.96.0.1/32"}},
		"half of everything":        {[]string{"10.96.0.0/12"}, []string{"0.0.0.0/1", "128.0.0.0/1"}, []string{"128.0.0.0/1"}, []string{"0.0.0.0/1"}},
		"the default route":         {[]string{"10.96.0.0/12"}, []string{"0.0.0.0/0"}, []string{"0.0.0.0/0"}, nil},
		"the leased network":        {[]string{"192.0.2.0/24"}, []string{"192.0.2.0/24", "192.0.2.128/25"}, []string{"192.0.2.0/24", "192.0.2.128/25"}, nil},
		"within the leased network": {[]string{"192.0.2.64/26"}, []string{"192.0.0.0/16"}, []string{"192.0.0.0/16"}, nil},
		"around the leased network": {[]string{"192.0.0.0/16"}, []string{"192.0.3.0/24"}, nil, []string{"192.0.3.0/24"}},
		"several":                   {[]string{"10.96.0.0/12", "172.17.0.0/16"}, []string{"172.16.0.0/12", "203.0.113.0/24"}, []string{"203.0.113.0/24"}, []string{"172.16.0.0/12"}},
		"Services of IPv6":          {[]string{"2001:db8::/108"}, []string{"10.0.0.0/8"}, []string{"10.0.0.0/8"}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var req leaseapi.Request
			for _, p := range c.protected {
				req.Protected = append(req.Protected, netip.MustParsePrefix(p))
			}
			lease, want := told(), told()
			lease.Routes, want.Routes, want.Refused = routes(c.given...), routes(c.used...), routes(c.refused...)
			got := req.Select(lease)
			same(t, want, got)
			if len(lease.Routes) != len(c.given) || len(c.given) > 0 && lease.Routes[0] != by(c.given[0]) {
				t.Errorf("Select has changed what it was given: %v", lease.Routes)
			}
		})
	}
}

// What is refused is no part of the routes to be ignored.
func TestIgnoredRoutesAreNotRefusedBesides(t *testing.T) {
	req := leaseapi.Request{Ignore: []leaseapi.Part{leaseapi.PartRoutes}, Protected: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}}
	lease := told()
	lease.Routes = routes("10.0.0.0/8")
	same(t, told(), req.Select(lease))
}

func same(t *testing.T, want, got leaseapi.Lease) {
	t.Helper()
	text := func(l leaseapi.Lease) string {
		data, err := json.MarshalIndent(l, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if diff := cmp.Diff(text(want), text(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
