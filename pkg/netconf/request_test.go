package netconf_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/identity"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
)

func nets(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestARequestIsWhatConfArgsAndPortSay(t *testing.T) {
	conf := `{"name":"lan","serviceCIDRs":["10.96.0.0/12"],` +
		`"podlan":{"mac":"02:00:00:00:00:01","bridge":"lan0","uplink":"eth1","from":"uplink","budgetMS":5000,"networks":["198.18.0.0/16"]},` +
		`"ipam":{"type":"podlan-dhcp","conflict":"off","whenLost":"replace","servers":["192.0.2.1"],"pace":10,"rapidCommit":true,` +
		`"hostname":"name","options":{"routes":"ignore"},"request":[{"option":"1","skipDefault":true}]}}`
	d, err := netconf.ParseDHCP([]byte(conf), "K8S_POD_UID=uid-1;K8S_POD_NAME=web-0;K8S_POD_NAMESPACE=shop")
	if err != nil {
		t.Fatal(err)
	}
	got := d.LeaseRequest(netconf.Interface{ContainerID: "c1", IfName: "eth0", Netns: "/run/netns/p1"}, *d.Handover)
	want := leaseapi.Request{
		ClientID: identity.Attachment("lan", "eth0", "uid-1", "c1").ClientID(), MAC: "02:00:00:00:00:01",
		Transport: leaseapi.FromUplink, Uplink: "eth1", Bridge: "lan0", Netns: "/run/netns/p1", Confirm: leaseapi.ByRecord,
		BudgetMS: 5000, ParameterRequest: []byte{1}, Send: map[uint8]leaseapi.HexBytes{12: []byte("web-0")}, Pod: "shop/web-0",
		Conflict: leaseapi.ConflictOff, WhenLost: leaseapi.Replace, Servers: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Pace: 10,
		RapidCommit: true, Ignore: []leaseapi.Part{leaseapi.PartRoutes}, Protected: nets("10.96.0.0/12", "198.18.0.0/16"),
	}
	if diff := cmp.Diff(want, got, asText()...); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatIsProtectedIsServicesAndNodeWithoutWhatIsAllowed(t *testing.T) {
	var services []netip.Prefix // of a node with kube-proxy in IPVS mode
	for i := range 1000 {
		services = append(services, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 96, byte(i / 250), byte(i % 250)}), 32))
	}
	cases := map[string]struct {
		service, allow string
		networks       []netip.Prefix
		want           []netip.Prefix
		count          int
	}{
		"nothing":                    {},
		"both":                       {service: `"10.96.0.0/12"`, networks: nets("192.0.2.7/24"), want: nets("10.96.0.0/12", "192.0.2.0/24")},
		"one within another":         {service: `"10.96.0.0/12","10.100.0.0/16"`, networks: services, want: nets("10.96.0.0/12")},
		"one twice":                  {networks: nets("192.0.2.7/24", "192.0.2.8/24"), want: nets("192.0.2.0/24")},
		"allowed as a whole":         {service: `"10.96.0.0/12"`, allow: `"10.0.0.0/8"`, networks: nets("192.0.2.0/24"), want: nets("192.0.2.0/24")},
		"allowed, exactly":           {allow: `"192.0.2.0/24"`, networks: nets("192.0.2.0/24")},
		"allowed, elsewhere":         {allow: `"203.0.113.0/24"`, networks: nets("192.0.2.0/24"), want: nets("192.0.2.0/24")},
		"allowed, one half":          {allow: `"192.0.2.128/25"`, networks: nets("192.0.2.0/24"), want: nets("192.0.2.0/25")},
		"allowed, in the midst":      {allow: `"192.0.2.64/26"`, networks: nets("192.0.2.0/24"), want: nets("192.0.2.128/25", "192.0.2.0/26")},
		"allowed, an address":        {allow: `"192.0.2.1/32"`, networks: nets("192.0.2.0/31"), want: nets("192.0.2.0/32")},
		"everything allowed":         {service: `"10.96.0.0/12"`, allow: `"0.0.0.0/0"`, networks: services},
		"IPv6, of no use to a route": {service: `"2001:db8::/108"`, allow: `"0.0.0.0/0"`, want: nets("2001:db8::/108")},
		"too many":                   {networks: append(services, nets("192.0.2.0/24")...), count: 256},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			conf := `{"name":"lan","serviceCIDRs":[` + c.service + `],"ipam":{"type":"podlan-dhcp","allowRoutes":[` + c.allow + `]}}`
			d, err := netconf.ParseDHCP([]byte(conf), "")
			if err != nil {
				t.Fatal(err)
			}
			got := d.LeaseRequest(netconf.Interface{}, netconf.Handover{Networks: c.networks}).Protected
			if c.count > 0 {
				if len(got) != c.count || got[0] != nets("192.0.2.0/24")[0] {
					t.Errorf("got %d, the first %s; want %d, the widest first", len(got), got[0], c.count)
				}
				return
			}
			if diff := cmp.Diff(c.want, got, asText()...); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnotherMainPluginsRequestIsConfirmedByTheAddress(t *testing.T) {
	d, err := netconf.ParseDHCP(dhcpConf(``), "")
	if err != nil {
		t.Fatal(err)
	}
	if req := d.LeaseRequest(netconf.Interface{}, netconf.Handover{From: netconf.FromPod}); req.Confirm != leaseapi.ByAddress || req.Transport != leaseapi.FromPod {
		t.Errorf("got %+v", req)
	}
}
