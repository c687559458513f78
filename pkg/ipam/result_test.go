package ipam

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/leaseapi"
)

func TestALeaseInCNIsWords(t *testing.T) {
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	bare := leaseapi.Lease{Address: prefix("192.0.2.7/24")}
	full := leaseapi.Lease{
		Address: prefix("192.0.2.7/24"), Router: addr("192.0.2.1"), DNS: []netip.Addr{addr("192.0.2.53"), addr("192.0.2.54")},
		Domain: "example.net", Search: []string{"a.example.net", "b.example.net"}, MTU: 1400,
		Routes: []leaseapi.Route{
			{Dst: prefix("0.0.0.0/0"), GW: addr("192.0.2.1")},
			{Dst: prefix("198.51.100.0/24")},
			{Dst: prefix("203.0.113.0/24"), GW: addr("0.0.0.0")},
		},
	}
	cases := map[string]struct {
		lease    leaseapi.Lease
		priority int
		version  string
		want     string
	}{
		"an address alone": {bare, 0, "1.1.0", `{"cniVersion":"1.1.0","ips":[{"address":"192.0.2.7/24"}]}`},
		"a host's address": {leaseapi.Lease{Address: prefix("192.0.2.7/32")}, 0, "1.1.0", `{"cniVersion":"1.1.0","ips":[{"address":"192.0.2.7/32"}]}`},
		"everything": {full, 0, "1.1.0", `{"cniVersion":"1.1.0","ips":[{"address":"192.0.2.7/24","gateway":"192.0.2.1"}],` +
			`"routes":[{"dst":"0.0.0.0/0","gw":"192.0.2.1"},{"dst":"198.51.100.0/24","scope":253},{"dst":"203.0.113.0/24","scope":253}],` +
			`"dns":{"nameservers":["192.0.2.53","192.0.2.54"],"domain":"example.net","search":["a.example.net","b.example.net"]}}`},
		"with a priority": {full, 200, "1.1.0", `{"cniVersion":"1.1.0","ips":[{"address":"192.0.2.7/24","gateway":"192.0.2.1"}],` +
			`"routes":[{"dst":"0.0.0.0/0","gw":"192.0.2.1","priority":200},{"dst":"198.51.100.0/24","priority":200,"scope":253},` +
			`{"dst":"203.0.113.0/24","priority":200,"scope":253}],` +
			`"dns":{"nameservers":["192.0.2.53","192.0.2.54"],"domain":"example.net","search":["a.example.net","b.example.net"]}}`},
		"for an older runtime": {bare, 0, "0.3.1", `{"cniVersion":"0.3.1","ips":[{"version":"4","address":"192.0.2.7/24"}],"dns":{}}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			result, err := Result(c.lease, c.priority)
			must(t, err)
			converted, err := result.GetAsVersion(c.version)
			must(t, err)
			data, err := json.Marshal(converted)
			must(t, err)
			var got, want any
			must(t, json.Unmarshal(data, &got))
			must(t, json.Unmarshal([]byte(c.want), &want))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// podlan-bridge gives it to the Pod end; another main plugin would not look.
func TestTheServersMTUIsForPodlanBridge(t *testing.T) {
	cases := map[string]struct {
		mtu    int
		change object
		want   []*current.Interface
	}{
		"given": {1400, nil, []*current.Interface{{Name: "eth0", Mac: "02:00:00:00:00:01", Mtu: 1400, Sandbox: "/run/netns/p1"}}},
		"none":  {0, nil, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := up(t, 200, grant(t, func(l *leaseapi.Lease) { l.MTU = c.mtu }))
			must(t, s.plugin().Add(s.args(t, c.change)))
			var got current.Result
			must(t, json.Unmarshal(s.stdout.Bytes(), &got))
			if diff := cmp.Diff(c.want, got.Interfaces); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestARefusedRouteIsAWarningThatNamesTheKey(t *testing.T) {
	s := up(t, 200, grant(t, func(l *leaseapi.Lease) {
		l.Server = netip.MustParseAddr("192.0.2.2")
		l.Refused = []leaseapi.Route{{Dst: netip.MustParsePrefix("10.0.0.0/8"), GW: netip.MustParseAddr("192.0.2.1")}}
	}))
	must(t, s.plugin().Add(s.args(t, nil)))
	for _, word := range []string{"10.0.0.0/8", "192.0.2.2", "ipam.allowRoutes"} {
		if !strings.Contains(s.stderr.String(), word) {
			t.Errorf("%q does not say %q", s.stderr.String(), word)
		}
	}
}
