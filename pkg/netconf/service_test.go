package netconf_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/netconf"
)

const withIPAM = minimal + `,"ipam":{"type":"static"}`

func networks(text ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range text {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func TestTheWayToServicesIsRead(t *testing.T) {
	services := networks("10.96.0.0/12")
	cases := map[string]struct {
		conf string
		want netconf.Service
		warn string
	}{
		"none":                      {withIPAM, netconf.Service{Mode: netconf.ServiceOff}, ""},
		"networks alone":            {withIPAM + `,"serviceCIDRs":["10.96.0.0/12"]`, netconf.Service{Mode: netconf.ServiceSNAT, CIDRs: services}, ""},
		"networks in the object":    {withIPAM + `,"service":{"cidrs":["10.96.0.0/12"]}`, netconf.Service{Mode: netconf.ServiceSNAT, CIDRs: services}, ""},
		"by name":                   {withIPAM + `,"service":{"mode":"snat","cidrs":["10.96.0.0/12"]}`, netconf.Service{Mode: netconf.ServiceSNAT, CIDRs: services}, ""},
		"an empty mode":             {withIPAM + `,"service":{"mode":"","cidrs":["10.96.0.0/12"]}`, netconf.Service{Mode: netconf.ServiceSNAT, CIDRs: services}, ""},
		"the Pod's own address":     {withIPAM + `,"serviceCIDRs":["10.96.0.0/12"],"service":{"mode":"bridge-nf"}`, netconf.Service{Mode: netconf.ServiceBridgeNF, CIDRs: services}, ""},
		"switched off":              {withIPAM + `,"serviceCIDRs":["10.96.0.0/12"],"service":{"mode":"off"}`, netconf.Service{Mode: netconf.ServiceOff}, ""},
		"off without any":           {withIPAM + `,"service":{"mode":"off"}`, netconf.Service{Mode: netconf.ServiceOff}, ""},
		"layer 2 has none":          {minimal + `,"serviceCIDRs":["10.96.0.0/12"]`, netconf.Service{Mode: netconf.ServiceOff}, ""},
		"both, one within another":  {withIPAM + `,"serviceCIDRs":["10.100.0.0/16","172.20.0.0/16"],"service":{"cidrs":["10.96.0.0/12"]}`, netconf.Service{Mode: netconf.ServiceSNAT, CIDRs: networks("10.96.0.0/12", "172.20.0.0/16")}, ""},
		"IPv6 is told and left out": {withIPAM + `,"serviceCIDRs":["10.96.0.0/12","2001:db8::/108"]`, netconf.Service{Mode: netconf.ServiceSNAT, CIDRs: services}, "2001:db8::/108"},
		"the node's address": {
			withIPAM + `,"service":{"cidrs":["10.96.0.0/12"],"nodeIP":"192.0.2.10"}`,
			netconf.Service{Mode: netconf.ServiceSNAT, CIDRs: services, NodeIP: netip.MustParseAddr("192.0.2.10")},
			"",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b, err := netconf.ParseBridge([]byte(c.conf+`}`), "")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, b.Service, asText()...); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if (c.warn == "") != (len(b.Warnings) == 0) || !strings.Contains(strings.Join(b.Warnings, " "), c.warn) {
				t.Errorf("warnings %q, want one about %q", b.Warnings, c.warn)
			}
		})
	}
}

func serviceRefusals() map[string]refusal {
	return map[string]refusal{
		"an unknown mode":           {conf: withIPAM + `,"service":{"mode":"masq"}}`, code: 7, says: []string{`"service.mode"`, `"masq"`, "snat, bridge-nf, off"}},
		"snat without networks":     {conf: withIPAM + `,"service":{"mode":"snat"}}`, code: 7, says: []string{`"service.mode"`, `"snat"`, "serviceCIDRs"}},
		"bridge-nf, too":            {conf: withIPAM + `,"service":{"mode":"bridge-nf","cidrs":[]}}`, code: 7, says: []string{`"service.mode"`, "serviceCIDRs"}},
		"networks with host bits":   {conf: withIPAM + `,"service":{"cidrs":["10.96.0.1/12"]}}`, code: 7, says: []string{`"service.cidrs"`, "10.96.0.1/12"}},
		"everything a Service":      {conf: withIPAM + `,"serviceCIDRs":["0.0.0.0/0"]}`, code: 7, says: []string{`"serviceCIDRs"`, "0.0.0.0/0"}},
		"no object":                 {conf: withIPAM + `,"service":"snat"}`, code: 7, says: []string{`"service"`, "object"}},
		"an unknown key":            {conf: withIPAM + `,"service":{"nodeip6":"x"}}`, code: 7, says: []string{`"service.nodeip6"`, "cidrs, mode, nodeIP"}},
		"a node's IPv6 address":     {conf: withIPAM + `,"service":{"cidrs":["10.96.0.0/12"],"nodeIP":"2001:db8::1"}}`, code: 7, says: []string{`"service.nodeIP"`, "2001:db8::1", "192.0.2.10"}},
		"a node with a Service's":   {conf: withIPAM + `,"service":{"cidrs":["10.96.0.0/12"],"nodeIP":"10.96.0.1"}}`, code: 7, says: []string{`"service.nodeIP"`, "10.96.0.1"}},
		"a way without an address":  {conf: minimal + `,"service":{"mode":"snat","cidrs":["10.96.0.0/12"]}}`, code: 7, says: []string{`"service"`, `"ipam"`}},
		"an address that is a name": {conf: withIPAM + `,"service":{"nodeIP":"node-1"}}`, code: 7, says: []string{`"service.nodeIP"`, "node-1"}},
	}
}

func TestAWayToServicesThatCannotBeIsRefused(t *testing.T) {
	for name, c := range serviceRefusals() {
		t.Run(name, func(t *testing.T) {
			_, err := netconf.ParseBridge([]byte(c.conf), "")
			checkRefusal(t, err, c)
		})
	}
}

// checkService is what holds of every conf that is accepted.
func checkService(t *testing.T, b *netconf.Bridge) {
	t.Helper()
	s := b.Service
	if !slices.Contains([]netconf.ServiceMode{netconf.ServiceOff, netconf.ServiceSNAT, netconf.ServiceBridgeNF}, s.Mode) || s.On() && b.IPAM == "" {
		t.Fatalf("accepted %+v", s)
	}
	for i, p := range s.CIDRs {
		if !p.Addr().Is4() || p != p.Masked() || slices.ContainsFunc(s.CIDRs[i+1:], p.Overlaps) || p.Contains(s.NodeIP) {
			t.Fatalf("accepted %+v", s)
		}
	}
}

func TestNoRouteOfAServerCoversAServiceOfEitherKey(t *testing.T) {
	const keys = `,"serviceCIDRs":["10.96.0.0/12"],"service":{"mode":"off","cidrs":["172.20.0.0/16"]}}`
	for main, want := range map[string][]netip.Prefix{
		netconf.TypeBridge: networks("10.96.0.0/12", "172.20.0.0/16"),
		"macvlan":          networks("10.96.0.0/12"), // whose key `service` may mean anything
	} {
		conf := `{"name":"lan","type":"` + main + `","ipam":{"type":"podlan-dhcp"}` + keys
		d, err := netconf.ParseDHCP([]byte(conf), "")
		if err != nil {
			t.Fatal(err)
		}
		if got := d.LeaseRequest(netconf.Interface{}, netconf.Handover{}).Protected; !slices.Equal(got, want) {
			t.Errorf("under %s: %v, want %v", main, got, want)
		}
	}
}
