package netconf_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/netconf"
)

const minimal = `{"cniVersion":"1.1.0","name":"lan","type":"podlan-bridge"`

func TestDefaultsAreTheReferences(t *testing.T) {
	b, err := netconf.ParseBridge([]byte(minimal+`}`), "")
	if err != nil {
		t.Fatal(err)
	}
	if b.Bridge != "cni0" || b.MTU != 0 || b.IsGateway || b.Hairpin || b.Promisc || b.IPAM != "" || b.MAC != nil {
		t.Errorf("got %+v, want the reference's defaults", b)
	}
	if b.Guard.Off || b.Budget != 30*time.Second || b.StateDir != netconf.DefaultStateDir || b.DHCPFrom != netconf.FromAuto {
		t.Errorf("got %+v, want our own defaults", b)
	}
}

func TestEveryKeyOfTheReferenceBridgeIsRead(t *testing.T) {
	conf := minimal + `,"bridge":"lan0","isDefaultGateway":true,"forceAddress":true,"ipMasq":true,"ipMasqBackend":"nftables",
		"mtu":1400,"hairpinMode":true,"macspoofchk":true,"enabledad":true,"portIsolation":true,"preserveDefaultVlan":true,
		"vlan":0,"vlanTrunk":[],"promiscMode":false,"serviceCIDRs":["10.96.0.0/12"],"dns":{"nameservers":["198.18.0.1"]},"ipam":{"type":"static"}}`
	b, err := netconf.ParseBridge([]byte(conf), "")
	if err != nil {
		t.Fatal(err)
	}
	ok := b.Bridge == "lan0" && b.IsDefaultGateway && b.IsGateway && b.ForceAddress && b.IPMasq && b.IPMasqBackend == "nftables" &&
		b.MTU == 1400 && b.Hairpin && b.EnableDAD && b.PortIsolation && b.DNS.Nameservers[0] == "198.18.0.1" && b.IPAM == "static"
	if !ok {
		t.Errorf("got %+v", b)
	}
	if len(b.Warnings) > 0 {
		t.Errorf("warnings %q for keys that are known", b.Warnings)
	}
}

func TestTheMACComesByPrecedence(t *testing.T) {
	const runtime, cniArgs = `"runtimeConfig":{"mac":"02:00:00:00:00:01"}`, `"args":{"cni":{"mac":"02:00:00:00:00:02"}}`
	const env = "IgnoreUnknown=1;MAC=02:00:00:00:00:03"
	cases := map[string]struct{ conf, args, want string }{
		"capability first":  {`,` + runtime + `,` + cniArgs + `}`, env, "02:00:00:00:00:01"},
		"args.cni second":   {`,` + cniArgs + `}`, env, "02:00:00:00:00:02"},
		"CNI_ARGS last":     {`}`, env, "02:00:00:00:00:03"},
		"nobody asks":       {`}`, "", ""},
		"args of others":    {`,"args":{"cni":"what a runtime likes"}}`, "", ""},
		"null is not given": {`,"runtimeConfig":null}`, "", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b, err := netconf.ParseBridge([]byte(minimal+c.conf), c.args)
			if err != nil {
				t.Fatal(err)
			}
			if b.MAC.String() != c.want {
				t.Errorf("got %s, want %s", b.MAC, c.want)
			}
		})
	}
}

// refusal is a conf that is refused, and what the error has to say.
type refusal struct {
	conf, args string
	code       uint
	says       []string
}

func bridgeRefusals() map[string]refusal {
	return map[string]refusal{
		"broken JSON":              {conf: `{`, code: types.ErrDecodingFailure},
		"no object":                {conf: `[]`, code: types.ErrDecodingFailure},
		"a number for a name":      {conf: minimal + `,"bridge":7}`, code: 7, says: []string{`"bridge"`, "7", "string"}},
		"a string for a flag":      {conf: minimal + `,"isGateway":"yes"}`, code: 7, says: []string{`"isGateway"`, `"yes"`, "true or false"}},
		"a fraction for an MTU":    {conf: minimal + `,"mtu":1500.5}`, code: 7, says: []string{`"mtu"`, "1500.5", "whole number"}},
		"an MTU out of range":      {conf: minimal + `,"mtu":-1}`, code: 7, says: []string{`"mtu"`, "-1", "65535"}},
		"an MTU that is too small": {conf: minimal + `,"mtu":67}`, code: 7, says: []string{`"mtu"`, "67", "68"}},
		"a long bridge name":       {conf: minimal + `,"bridge":"sixteen-letters-"}`, code: 7, says: []string{`"bridge"`, "15"}},
		"a slash in a name":        {conf: minimal + `,"uplink":"a/b"}`, code: 7, says: []string{`"uplink"`, `"a/b"`, "slash"}},
		"Services with host bits":  {conf: minimal + `,"serviceCIDRs":["10.96.0.1/12"]}`, code: 7, says: []string{`"serviceCIDRs"`, "10.96.0.1/12", "host bits"}},
		"a wrong budget":           {conf: minimal + `,"budget":"30"}`, code: 7, says: []string{`"budget"`, `"30"`, "30s"}},
		"a budget out of range":    {conf: minimal + `,"budget":"1h"}`, code: 7, says: []string{`"budget"`, `"1h"`, "10m0s"}},
		"a relative state folder":  {conf: minimal + `,"stateDir":"state"}`, code: 7, says: []string{`"stateDir"`, "absolute"}},
		"an unknown guard":         {conf: minimal + `,"guard":"loose"}`, code: 7, says: []string{`"guard"`, `"loose"`, "strict, off"}},
		"an unknown masq backend":  {conf: minimal + `,"ipMasqBackend":"pf"}`, code: 7, says: []string{`"ipMasqBackend"`, `"pf"`, "nftables"}},
		"an unknown dhcpFrom":      {conf: minimal + `,"ipam":{"type":"podlan-dhcp","dhcpFrom":"sky"}}`, code: 7, says: []string{`"ipam.dhcpFrom"`, `"sky"`, "uplink"}},
		"ipam without type":        {conf: minimal + `,"ipam":{"subnet":"198.18.0.0/16"}}`, code: 7, says: []string{`"ipam.type"`}},
		"a path for ipam":          {conf: minimal + `,"ipam":{"type":"../../bin/sh"}}`, code: 7, says: []string{`"ipam.type"`, "slash"}},
		"uplink is the bridge":     {conf: minimal + `,"bridge":"lan0","uplink":"lan0"}`, code: 7, says: []string{`"uplink"`, "two links"}},
		"hairpin and promisc":      {conf: minimal + `,"hairpinMode":true,"promiscMode":true}`, code: 7, says: []string{"hairpinMode", "promiscMode"}},
		"a down end with ipam":     {conf: minimal + `,"disableContainerInterface":true,"ipam":{"type":"static"}}`, code: 7, says: []string{"disableContainerInterface"}},
		"a gateway without ipam":   {conf: minimal + `,"isGateway":true}`, code: 7, says: []string{"isGateway"}},
		"masq without ipam":        {conf: minimal + `,"ipMasq":true}`, code: 7, says: []string{"ipMasq"}},
		"a guard of another type":  {conf: minimal + `,"guard":true}`, code: 7, says: []string{`"guard"`, "true"}},
		"an unknown opening":       {conf: minimal + `,"guard":{"dhcp":true}}`, code: 7, says: []string{`"guard.dhcp"`}},
		"an opening not a bool":    {conf: minimal + `,"guard":{"vrrp":"yes"}}`, code: 7, says: []string{`"guard.vrrp"`, "yes", "true or false"}},
		"a multicast extra MAC":    {conf: minimal + `,"guard":{"extraMACs":["01:00:5e:00:00:01"]}}`, code: 7, says: []string{`"guard.extraMACs"`, "01:00:5e:00:00:01", "unicast"}},
		"a short extra MAC":        {conf: minimal + `,"guard":{"extraMACs":["52:54"]}}`, code: 7, says: []string{`"guard.extraMACs"`, "52:54"}},
		"a network as an extra IP": {conf: minimal + `,"guard":{"extraIPs":["192.0.2.0/24"]}}`, code: 7, says: []string{`"guard.extraIPs"`, "192.0.2.0/24"}},
		"a group as an extra IP":   {conf: minimal + `,"guard":{"extraIPs":["224.0.0.5"]}}`, code: 7, says: []string{`"guard.extraIPs"`, "224.0.0.5"}},
		"a negative rate":          {conf: minimal + `,"guard":{"rates":{"arp":-1}}}`, code: 7, says: []string{`"guard.rates.arp"`, "-1", "1000000"}},
		"an unknown rate":          {conf: minimal + `,"guard":{"rates":{"unicast":1}}}`, code: 7, says: []string{`"guard.rates.unicast"`}},
		"spoof check, guard off":   {conf: minimal + `,"macspoofchk":true,"guard":"off"}`, code: 7, says: []string{`"macspoofchk"`, "guard"}},
		"a multicast MAC":          {conf: minimal + `,"runtimeConfig":{"mac":"01:00:5e:00:00:01"}}`, code: 7, says: []string{`"runtimeConfig.mac"`, "unicast"}},
		"a MAC of eight octets":    {conf: minimal + `,"runtimeConfig":{"mac":"02:00:00:00:00:00:00:01"}}`, code: 7, says: []string{`"runtimeConfig.mac"`, "six"}},
		"no MAC in CNI_ARGS":       {conf: minimal + `}`, args: "MAC=x", code: types.ErrInvalidEnvironmentVariables, says: []string{"CNI_ARGS MAC", `"x"`}},
		"no pair in CNI_ARGS":      {conf: minimal + `}`, args: "MAC", code: types.ErrInvalidEnvironmentVariables, says: []string{"CNI_ARGS", "KEY=value"}},
	}
}

func TestABadBridgeConfIsRefusedByKeyValueAndWhatIsAllowed(t *testing.T) {
	for name, c := range bridgeRefusals() {
		t.Run(name, func(t *testing.T) {
			_, err := netconf.ParseBridge([]byte(c.conf), c.args)
			checkRefusal(t, err, c)
		})
	}
}

func checkRefusal(t *testing.T, err error, want refusal) {
	t.Helper()
	var got *types.Error
	if !errors.As(err, &got) {
		t.Fatalf("got %v, want an error of CNI", err)
	}
	if got.Code != want.code {
		t.Errorf("code %d, want %d (%v)", got.Code, want.code, got)
	}
	for _, word := range want.says {
		if !strings.Contains(got.Error(), word) {
			t.Errorf("%q does not say %q", got, word)
		}
	}
}

func TestUnknownTopLevelKeysAreWarningsSinceRuntimesAddSome(t *testing.T) {
	b, err := netconf.ParseBridge([]byte(minimal+`,"isGatway":true,"prevResult":{},"capabilities":{"mac":true}}`), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Warnings) != 1 || !strings.Contains(b.Warnings[0], "isGatway") {
		t.Errorf("warnings %q, want one about isGatway", b.Warnings)
	}
}

func TestKeysAreReadInAnyCaseAsGoDoes(t *testing.T) {
	b, err := netconf.ParseBridge([]byte(minimal+`,"Bridge":"lan0","HAIRPINMODE":true}`), "")
	if err != nil || b.Bridge != "lan0" || !b.Hairpin {
		t.Errorf("got %+v, %v", b, err)
	}
}

func TestAnIPAMObjectThatNamesNoPluginMeansLayerTwo(t *testing.T) {
	for _, ipam := range []string{`{}`, `{"type":""}`, `null`} {
		b, err := netconf.ParseBridge([]byte(minimal+`,"ipam":`+ipam+`}`), "")
		if err != nil || b.IPAM != "" {
			t.Errorf("%s: got %+v, %v", ipam, b, err)
		}
	}
}

func TestARefusedConfStillTellsADelWhereToCleanUp(t *testing.T) {
	b, err := netconf.ParseBridge([]byte(minimal+`,"stateDir":"/x","mtu":"big","ipam":{"type":"host-local"}}`), "")
	if err == nil || b == nil || b.StateDir != "/x" || b.Name != "lan" || b.IPAM != "host-local" {
		t.Errorf("got %+v, %v", b, err)
	}
}

func FuzzParseBridge(f *testing.F) {
	f.Add([]byte(minimal+`,"ipam":{"type":"podlan-dhcp"}}`), "IgnoreUnknown=1;MAC=02:00:00:00:00:03")
	for _, c := range bridgeRefusals() {
		f.Add([]byte(c.conf), c.args)
	}
	for _, c := range vlanRefusals() {
		f.Add([]byte(c.conf), c.args)
	}
	for _, c := range serviceRefusals() {
		f.Add([]byte(c.conf), c.args)
	}
	f.Fuzz(func(t *testing.T, stdin []byte, args string) {
		b, err := netconf.ParseBridge(stdin, args)
		var cniErr *types.Error
		if err != nil && (!errors.As(err, &cniErr) || cniErr.Code == 0) {
			t.Fatalf("%v is no error of CNI", err)
		}
		if err != nil {
			return
		}
		if len(b.Bridge) > 15 || b.Budget <= 0 || b.MTU < 0 || b.MAC != nil && len(b.MAC) != 6 {
			t.Fatalf("accepted %+v", b)
		}
		checkVLANs(t, b)
		checkService(t, b)
		if !json.Valid(stdin) {
			t.Fatalf("accepted what is no JSON: %q", stdin)
		}
	})
}

func TestTheGuardIsOpenedByName(t *testing.T) {
	const conf = `{"cniVersion":"1.1.0","name":"lan","type":"podlan-bridge","guard":{"dhcpServer":true,"dhcpClient":true,"routerAdvertisement":true,
		"vrrp":true,"multicastRouting":true,"extraMACs":["52:54:00:12:34:56"],"extraIPs":["192.0.2.9","2001:db8::9"],"rates":{"arp":15,"multicast":0}}}`
	b, err := netconf.ParseBridge([]byte(conf), "")
	if err != nil {
		t.Fatal(err)
	}
	want := netconf.Guard{
		DHCPServer: true, DHCPClient: true, RouterAdvertisement: true, VRRP: true, MulticastRouting: true,
		ExtraMACs: []netconf.MAC{{0x52, 0x54, 0, 0x12, 0x34, 0x56}},
		ExtraIPs:  []netip.Addr{netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8::9")},
		Rates:     netconf.Rates{ARP: 15, Multicast: -1},
	}
	if diff := cmp.Diff(want, b.Guard, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	raw, err := json.Marshal(b.Guard)
	if err != nil {
		t.Fatal(err)
	}
	var back netconf.Guard
	if err := json.Unmarshal(raw, &back); err != nil || !strings.Contains(string(raw), "52:54:00:12:34:56") {
		t.Errorf("%v: %s", err, raw)
	}
}
