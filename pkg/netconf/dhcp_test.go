package netconf_test

import (
	"errors"
	"maps"
	"net/netip"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
)

func dhcpConf(ipam string) []byte {
	return []byte(`{"cniVersion":"1.1.0","name":"lan","type":"macvlan","master":"eth1","ipam":{"type":"podlan-dhcp"` + ipam + `}}`)
}

func TestEveryKeyOfTheReferenceDHCPIsRead(t *testing.T) {
	conf := dhcpConf(`,"daemonSocketPath":"/run/x.sock","priority":50,
		"request":[{"option":"routers"},{"option":"42","skipDefault":true}],
		"provide":[{"option":"host-name","fromArg":"K8S_POD_NAME"},{"option":"60","value":"podlan"},
		           {"option":"dhcp-client-identifier","value":"me"},{"option":"77","fromArg":"ABSENT"}]`)
	d, err := netconf.ParseDHCP(conf, "K8S_POD_NAME=web-0;K8S_POD_NAMESPACE=shop")
	if err != nil {
		t.Fatal(err)
	}
	if d.Socket != "/run/x.sock" || d.Priority != 50 || d.Main.Master != "eth1" || d.Pod.String() != "shop/web-0" {
		t.Errorf("got %+v", d)
	}
	if diff := cmp.Diff([]byte{3, 42}, d.ParameterRequest); diff != "" {
		t.Errorf("parameter request: %s", diff)
	}
	want := map[uint8][]byte{12: []byte("web-0"), 60: []byte("podlan")}
	if diff := cmp.Diff(want, d.Send); diff != "" {
		t.Errorf("options to send: %s", diff)
	}
	if string(d.ClientID) != "me" {
		t.Errorf("client-id %q, want it as given", d.ClientID)
	}
}

func TestTheDefaultsAskForWhatAPodCanUse(t *testing.T) {
	d, err := netconf.ParseDHCP(dhcpConf(`,"request":[{"option":"routers"},{"option":"42"}]`), "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]byte{3, 42, 121, 1, 33, 6, 15, 119, 26}, d.ParameterRequest); diff != "" {
		t.Error(diff)
	}
	if d.Socket != leaseapi.DefaultSocket || d.From != netconf.FromAuto {
		t.Errorf("got %+v", d)
	}
}

func dhcpRefusals() map[string]refusal {
	return map[string]refusal{
		"an unknown key":            {conf: string(dhcpConf(`,"requests":[]`)), code: 7, says: []string{`"ipam.requests"`, "request"}},
		"an unknown key in a list":  {conf: string(dhcpConf(`,"request":[{"opt":"routers"}]`)), code: 7, says: []string{`"ipam.request.opt"`}},
		"an unknown option":         {conf: string(dhcpConf(`,"request":[{"option":"gateway"}]`)), code: 7, says: []string{`"gateway"`, "routers"}},
		"the end option":            {conf: string(dhcpConf(`,"request":[{"option":"255"}]`)), code: 7, says: []string{`"255"`, "254"}},
		"a string for a list":       {conf: string(dhcpConf(`,"provide":"host-name"`)), code: 7, says: []string{`"ipam.provide"`, "list"}},
		"a number in a list":        {conf: string(dhcpConf(`,"provide":[3]`)), code: 7, says: []string{`"ipam.provide"`, "objects"}},
		"an option of the protocol": {conf: string(dhcpConf(`,"provide":[{"option":"53","value":"x"}]`)), code: 7, says: []string{"53"}},
		"a client-id of one byte":   {conf: string(dhcpConf(`,"provide":[{"option":"61","value":"x"}]`)), code: 7, says: []string{"2 bytes"}},
		"a negative priority":       {conf: string(dhcpConf(`,"priority":-1`)), code: 7, says: []string{`"ipam.priority"`, "-1"}},
		"a relative socket":         {conf: string(dhcpConf(`,"daemonSocketPath":"x.sock"`)), code: 7, says: []string{`"ipam.daemonSocketPath"`, "absolute"}},
		"a wrong dhcpFrom":          {conf: string(dhcpConf(`,"dhcpFrom":"moon"`)), code: 7, says: []string{`"ipam.dhcpFrom"`, "auto, uplink, pod"}},
		"no pair in CNI_ARGS":       {conf: string(dhcpConf(``)), args: "x", code: 4, says: []string{"CNI_ARGS"}},
	}
}

// keepRefusals are those of the keys that say how a lease is got and kept.
func keepRefusals() map[string]refusal {
	conf := func(ipam string) string { return string(dhcpConf(ipam)) }
	many := `"192.0.2.1"` + strings.Repeat(`,"192.0.2.1"`, 32)
	return map[string]refusal{
		"an unknown conflict":        {conf: conf(`,"conflict":"never"`), code: 7, says: []string{`"ipam.conflict"`, `"never"`, "optimistic, wait, off"}},
		"a wait in a small budget":   {conf: `{"budget":"7s",` + conf(`,"conflict":"wait"`)[1:], code: 7, says: []string{`"ipam.conflict"`, `"wait"`, `"budget"`, "8s", "7s", "RFC 5227"}},
		"an unknown whenLost":        {conf: conf(`,"whenLost":"keep"`), code: 7, says: []string{`"ipam.whenLost"`, `"keep"`, "withdraw, replace"}},
		"a server's name":            {conf: conf(`,"servers":["dhcp1"]`), code: 7, says: []string{`"ipam.servers"`, `"dhcp1"`, "IPv4"}},
		"a server of IPv6":           {conf: conf(`,"servers":["2001:db8::1"]`), code: 7, says: []string{`"ipam.servers"`, "2001:db8::1"}},
		"a server that is everybody": {conf: conf(`,"servers":["255.255.255.255"]`), code: 7, says: []string{`"ipam.servers"`}},
		"one server, not listed":     {conf: conf(`,"servers":"192.0.2.1"`), code: 7, says: []string{`"ipam.servers"`, "list"}},
		"too many servers":           {conf: conf(`,"servers":[` + many + `]`), code: 7, says: []string{`"ipam.servers"`, "32 at most"}},
		"no pace":                    {conf: conf(`,"pace":0`), code: 7, says: []string{`"ipam.pace"`, "0", "1 to 500"}},
		"too much pace":              {conf: conf(`,"pace":501`), code: 7, says: []string{`"ipam.pace"`, "501", "1 to 500"}},
		"a word for rapidCommit":     {conf: conf(`,"rapidCommit":"yes"`), code: 7, says: []string{`"ipam.rapidCommit"`, "true or false"}},
		"an unknown hostname":        {conf: conf(`,"hostname":"pod"`), code: 7, says: []string{`"ipam.hostname"`, `"pod"`, "off, name, fqdn"}},
		"a domain without fqdn":      {conf: conf(`,"hostname":"name","hostnameDomain":"lan.example"`), code: 7, says: []string{`"ipam.hostnameDomain"`, "fqdn"}},
		"a domain that is none":      {conf: conf(`,"hostname":"fqdn","hostnameDomain":"lan_1.example"`), code: 7, says: []string{`"ipam.hostnameDomain"`, "lan_1", "RFC 1123"}},
		"a domain with a gap":        {conf: conf(`,"hostname":"fqdn","hostnameDomain":"lan..example"`), code: 7, says: []string{`"ipam.hostnameDomain"`}},
		"a domain that is too long":  {conf: conf(`,"hostname":"fqdn","hostnameDomain":"` + strings.Repeat("a.", 60) + `ab"`), code: 7, says: []string{`"ipam.hostnameDomain"`, "120"}},
		"two names":                  {conf: conf(`,"hostname":"name","provide":[{"option":"host-name","fromArg":"ABSENT"}]`), code: 7, says: []string{`"ipam.hostname"`, `"provide"`, "12"}},
		"two names, the other way":   {conf: conf(`,"hostname":"fqdn","provide":[{"option":"81","value":"x"}]`), code: 7, says: []string{`"ipam.hostname"`, `"provide"`, "81"}},
		"an unknown part":            {conf: conf(`,"options":{"ntp":"use"}`), code: 7, says: []string{`"ipam.options.ntp"`, "dns, domain, mtu, routes, search"}},
		"a part that is maybe used":  {conf: conf(`,"options":{"dns":"maybe"}`), code: 7, says: []string{`"ipam.options.dns"`, `"maybe"`, "use, ignore"}},
		"options that are no object": {conf: conf(`,"options":["dns"]`), code: 7, says: []string{`"ipam.options"`, "object"}},
		"a route with host bits":     {conf: conf(`,"allowRoutes":["10.0.0.1/8"]`), code: 7, says: []string{`"ipam.allowRoutes"`, "10.0.0.1/8", "host bits"}},
		"an address for a network":   {conf: conf(`,"allowRoutes":["10.0.0.1"]`), code: 7, says: []string{`"ipam.allowRoutes"`, "10.0.0.1"}},
		"Services that are none":     {conf: `{"serviceCIDRs":"10.96.0.0/12",` + conf(``)[1:], code: 7, says: []string{`"serviceCIDRs"`, "list of networks"}},
	}
}

func TestTheKeysOfALeasesKeepingAreRead(t *testing.T) {
	conf := dhcpConf(`,"conflict":"wait","whenLost":"replace","servers":["192.0.2.1","192.0.2.2"],"pace":10,"rapidCommit":true,
		"options":{"dns":"ignore","mtu":"ignore","routes":"use"},"allowRoutes":["10.0.0.0/8"]`)
	conf = append([]byte(`{"serviceCIDRs":["10.96.0.0/12","2001:db8::/108"],"budget":"8s",`), conf[1:]...)
	d, err := netconf.ParseDHCP(conf, "")
	if err != nil {
		t.Fatal(err)
	}
	want := netconf.Keep{
		Conflict: leaseapi.ConflictWait, WhenLost: leaseapi.Replace, Pace: 10, RapidCommit: true,
		Servers:      []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")},
		Ignore:       []leaseapi.Part{leaseapi.PartDNS, leaseapi.PartMTU},
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("2001:db8::/108")},
		AllowRoutes:  []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	}
	if diff := cmp.Diff(want, d.Keep, asText()...); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestALeaseIsKeptByDefaultWithoutAsking(t *testing.T) {
	d, err := netconf.ParseDHCP(dhcpConf(``), "K8S_POD_NAME=web-0")
	want := netconf.Keep{Conflict: leaseapi.ConflictOptimistic, WhenLost: leaseapi.Withdraw}
	if diff := cmp.Diff(want, d.Keep, asText()...); err != nil || diff != "" || d.Send != nil {
		t.Errorf("%v, sends %v (-want +got):\n%s", err, d.Send, diff)
	}
}

func asText() cmp.Options {
	return cmp.Options{
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	}
}

func TestABadDHCPConfIsRefusedByKeyValueAndWhatIsAllowed(t *testing.T) {
	all := dhcpRefusals()
	maps.Copy(all, keepRefusals())
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			_, err := netconf.ParseDHCP([]byte(c.conf), c.args)
			checkRefusal(t, err, c)
		})
	}
}

func TestAGCWithoutAListIsRefusedAndWithAnEmptyOneIsNot(t *testing.T) {
	cases := map[string]struct {
		conf string
		want int
		code uint
	}{
		"absent": {`{}`, 0, 7},
		"null":   {`{"cni.dev/valid-attachments":null}`, 0, 0},
		"empty":  {`{"cni.dev/valid-attachments":[]}`, 0, 0},
		"two":    {`{"cni.dev/valid-attachments":[{"containerID":"a","ifname":"eth0"},{"containerID":"b","ifname":"eth0"}]}`, 2, 0},
		"older":  {`{"cni.dev/attachments":[{"containerID":"a","ifname":"eth0"}]}`, 1, 0},
		"wrong":  {`{"cni.dev/valid-attachments":{}}`, 0, 7},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			valid, err := netconf.ValidAttachments([]byte(c.conf))
			var cniErr *types.Error
			errors.As(err, &cniErr)
			if len(valid) != c.want || (c.code == 0) != (err == nil) || c.code != 0 && cniErr.Code != c.code {
				t.Errorf("got %v, %v", valid, err)
			}
		})
	}
}

func FuzzParseDHCP(f *testing.F) {
	for _, c := range dhcpRefusals() {
		f.Add([]byte(c.conf), c.args)
	}
	for _, c := range keepRefusals() {
		f.Add([]byte(c.conf), "K8S_POD_NAME=web-0;K8S_POD_NAMESPACE=shop")
	}
	f.Add(dhcpConf(`,"hostname":"fqdn","hostnameDomain":"lan.example","options":{"dns":"ignore"},"servers":["192.0.2.1"]`), "K8S_POD_NAME=web-0")
	for _, c := range serviceRefusals() {
		f.Add([]byte(c.conf), c.args)
	}
	f.Fuzz(func(t *testing.T, stdin []byte, args string) {
		d, err := netconf.ParseDHCP(stdin, args)
		var cniErr *types.Error
		if err != nil && (!errors.As(err, &cniErr) || cniErr.Code == 0) {
			t.Fatalf("%v is no error of CNI", err)
		}
		if err != nil {
			return
		}
		if d.Priority < 0 || d.Socket == "" || len(d.ClientID) > 255 || d.Pace < 0 || d.Pace > 500 || len(d.Servers) > 32 {
			t.Fatalf("accepted %+v", d)
		}
		for code, value := range d.Send {
			if len(value) == 0 || len(value) > 255 {
				t.Fatalf("option %d of %d bytes: % x", code, len(value), value)
			}
		}
	})
}
