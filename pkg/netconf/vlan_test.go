package netconf_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/netconf"
)

func TestVLANKeysAreRead(t *testing.T) {
	cases := map[string]struct {
		conf string
		want netconf.VLANs
	}{
		"none":                        {``, netconf.VLANs{}},
		"untagged":                    {`,"vlan":0,"vlanTrunk":[],"preserveDefaultVlan":false`, netconf.VLANs{}},
		"one":                         {`,"vlan":20`, netconf.VLANs{VLAN: 20}},
		"the last":                    {`,"vlan":4094`, netconf.VLANs{VLAN: 4094}},
		"over a sub-interface":        {`,"vlan":20,"uplink":"eth1","vlanMode":"subinterface"`, netconf.VLANs{VLAN: 20, Mode: netconf.ModeSubinterface}},
		"in a filtering bridge":       {`,"vlan":20,"vlanMode":"filtering"`, netconf.VLANs{VLAN: 20, Mode: netconf.ModeFiltering}},
		"a mode that is not given":    {`,"vlan":20,"vlanMode":""`, netconf.VLANs{VLAN: 20}},
		"beside the default VLAN":     {`,"vlan":20,"preserveDefaultVlan":true`, netconf.VLANs{VLAN: 20, KeepDefault: true}},
		"an outer one implies a mode": {`,"vlan":20,"outerVlan":20,"uplink":"eth1"`, netconf.VLANs{VLAN: 20, OuterVLAN: 20, Mode: netconf.ModeSubinterface}},
		"a trunk implies a mode": {
			`,"uplink":"eth1","vlanTrunk":[{"minID":100,"maxID":199},{"id":7}]`,
			netconf.VLANs{Trunk: []netconf.VLANRange{{First: 7, Last: 7}, {First: 100, Last: 199}}, Mode: netconf.ModeFiltering},
		},
		"a trunk beside its own": {
			`,"vlan":20,"vlanTrunk":[{"ID":21},{"minid":19,"MAXID":19},{"id":4094}]`,
			netconf.VLANs{VLAN: 20, Trunk: []netconf.VLANRange{{First: 19, Last: 19}, {First: 21, Last: 21}, {First: 4094, Last: 4094}}, Mode: netconf.ModeFiltering},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b, err := netconf.ParseBridge([]byte(minimal+c.conf+`}`), "")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, b.VLANs); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(b.Warnings) > 0 {
				t.Errorf("warnings %q", b.Warnings)
			}
		})
	}
}

func TestATrunkOfManyEntriesIsOneRange(t *testing.T) {
	var entries []string
	for vid := 4094; vid > 1; vid-- {
		entries = append(entries, fmt.Sprintf(`{"id":%d}`, vid))
	}
	b, err := netconf.ParseBridge([]byte(minimal+`,"vlan":1,"vlanTrunk":[`+strings.Join(entries, ",")+`]}`), "")
	if want := []netconf.VLANRange{{First: 2, Last: 4094}}; err != nil || !slices.Equal(b.Trunk, want) {
		t.Errorf("got %v, %v", b.Trunk, err)
	}
}

func TestAPodsVLANComesByPrecedenceWithinTheAllowed(t *testing.T) {
	const allowed = `,"vlan":20,"vlanAllowed":[30,{"id":40},{"minID":100,"maxID":199}]`
	const runtime, cniArgs = `,"runtimeConfig":{"vlan":30}`, `,"args":{"cni":{"vlan":40}}`
	cases := map[string]struct {
		conf, args string
		want       uint16
	}{
		"capability first":         {runtime + cniArgs, "VLAN=100", 30},
		"args.cni second":          {cniArgs, "VLAN=100", 40},
		"CNI_ARGS last":            {``, "IgnoreUnknown=1;VLAN=199", 199},
		"nobody asks":              {``, "IgnoreUnknown=1", 20},
		"null is not asked":        {`,"runtimeConfig":{"vlan":null},"args":{"cni":null}`, "", 20},
		"args of others are not":   {`,"args":{"cni":"what a runtime likes"}`, "", 20},
		"into an untagged network": {`,"vlan":0` + runtime, "", 30},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b, err := netconf.ParseBridge([]byte(minimal+allowed+c.conf+`}`), c.args)
			if err != nil || b.VLAN != c.want {
				t.Errorf("got %d, %v; want %d", b.VLAN, err, c.want)
			}
			if len(b.Warnings) > 0 {
				t.Errorf("warnings %q", b.Warnings)
			}
		})
	}
}

func TestAModeWithoutAVLANIsAWarning(t *testing.T) {
	for conf, warnings := range map[string]int{
		`,"vlanMode":"filtering"`:                          1,
		`,"vlanMode":"subinterface","uplink":"eth1"`:       1,
		`,"vlanMode":"filtering","vlanAllowed":[20]`:       0,
		`,"vlanMode":"filtering","vlanTrunk":[{"id":20}]`:  0,
		`,"preserveDefaultVlan":true,"vlanAllowed":[1,20]`: 0,
	} {
		b, err := netconf.ParseBridge([]byte(minimal+conf+`}`), "")
		if err != nil || len(b.Warnings) != warnings {
			t.Errorf("%s: warnings %q, %v; want %d", conf, b.Warnings, err, warnings)
		}
	}
}

func vlanRefusals() map[string]refusal {
	const code, env = types.ErrInvalidNetworkConfig, types.ErrInvalidEnvironmentVariables
	bad := func(keys string, says ...string) refusal {
		return refusal{conf: minimal + "," + keys + "}", code: code, says: says}
	}
	cases := map[string]refusal{
		"above 4094":              bad(`"vlan":4095`, `"vlan"`, "4095", "0 to 4094"),
		"below 0":                 bad(`"vlan":-1`, `"vlan"`, "-1", "0 to 4094"),
		"no whole number":         bad(`"vlan":20.5`, `"vlan"`, "20.5", "whole number"),
		"a text":                  bad(`"vlan":"20"`, `"vlan"`, `"20"`, "whole number"),
		"an unknown mode":         bad(`"vlan":20,"vlanMode":"tagged"`, `"vlanMode"`, `"tagged"`, "subinterface, filtering"),
		"an outer VLAN of 0":      bad(`"vlan":20,"uplink":"eth1","outerVlan":0`, `"outerVlan"`, "0", "1 to 4094"),
		"an outer VLAN above":     bad(`"vlan":20,"uplink":"eth1","outerVlan":4095`, `"outerVlan"`, "4095", "1 to 4094"),
		"an outer VLAN alone":     bad(`"uplink":"eth1","outerVlan":7`, `"outerVlan": 7`, `"vlan": 0`, "1 to 4094"),
		"QinQ that filters":       bad(`"vlan":20,"uplink":"eth1","outerVlan":7,"vlanMode":"filtering"`, `"outerVlan": 7`, "subinterface"),
		"QinQ with a trunk":       bad(`"vlan":20,"uplink":"eth1","outerVlan":7,"vlanTrunk":[{"id":3}]`, `"outerVlan": 7`, "vlanTrunk"),
		"QinQ without uplink":     bad(`"vlan":20,"outerVlan":7`, `"outerVlan": 7`, `"uplink"`),
		"a mode without uplink":   bad(`"vlan":20,"vlanMode":"subinterface"`, `"vlanMode"`, `"uplink"`),
		"a mode without trunks":   bad(`"vlan":20,"uplink":"eth1","vlanMode":"subinterface","vlanTrunk":[{"id":3}]`, `"vlanTrunk"`, "filtering"),
		"no list":                 bad(`"vlanTrunk":{"id":3}`, `"vlanTrunk"`, "list"),
		"a plain number":          bad(`"vlanTrunk":[3]`, `"vlanTrunk"`, "3", `{"id": 20}`),
		"a text in a trunk":       bad(`"vlanTrunk":["3"]`, `"vlanTrunk"`, `"3"`, "objects"),
		"null in a trunk":         bad(`"vlanTrunk":[null]`, `"vlanTrunk"`, "null", "minID together with maxID"),
		"nothing in a trunk":      bad(`"vlanTrunk":[{}]`, `"vlanTrunk"`, "{}", "minID together with maxID"),
		"0 in a trunk":            bad(`"vlanTrunk":[{"id":0}]`, `"vlanTrunk.id"`, "0", "1 to 4094"),
		"4095 in a trunk":         bad(`"vlanTrunk":[{"minID":1,"maxID":4095}]`, `"vlanTrunk.maxID"`, "4095", "1 to 4094"),
		"a negative trunk":        bad(`"vlanTrunk":[{"minID":-1,"maxID":3}]`, `"vlanTrunk.minID"`, "-1", "1 to 4094"),
		"a reversed range":        bad(`"vlanTrunk":[{"minID":30,"maxID":20}]`, `"vlanTrunk"`, "30", "not above maxID"),
		"a range without end":     bad(`"vlanTrunk":[{"minID":30}]`, `"vlanTrunk"`, "30", "together with maxID"),
		"a range without begin":   bad(`"vlanTrunk":[{"maxID":30}]`, `"vlanTrunk"`, "30", "minID together"),
		"id and range":            bad(`"vlanTrunk":[{"id":3,"minID":10,"maxID":20}]`, `"vlanTrunk"`, "either id"),
		"overlapping ranges":      bad(`"vlanTrunk":[{"minID":10,"maxID":20},{"minID":20,"maxID":30}]`, `"vlanTrunk"`, "20 is there twice"),
		"one VLAN twice":          bad(`"vlanTrunk":[{"id":3},{"id":3}]`, `"vlanTrunk"`, "3 is there twice"),
		"an unknown key":          bad(`"vlanTrunk":[{"vid":3}]`, `"vlanTrunk.vid"`, "id, maxID, minID"),
		"its own in the trunk":    bad(`"vlan":15,"vlanTrunk":[{"minID":10,"maxID":20}]`, `"vlan": 15`, "10-20", "once"),
		"no list of allowed":      bad(`"vlanAllowed":20`, `"vlanAllowed"`, "20", "list"),
		"allowed 0":               bad(`"vlanAllowed":[0]`, `"vlanAllowed"`, "0", "1 to 4094"),
		"allowed a fraction":      bad(`"vlanAllowed":[1e1]`, `"vlanAllowed"`, "1e1", "1 to 4094"),
		"allowed twice":           bad(`"vlanAllowed":[3,{"minID":1,"maxID":9}]`, `"vlanAllowed"`, "3 is there twice"),
		"chosen unasked":          bad(`"vlan":20,"runtimeConfig":{"vlan":20}`, `"runtimeConfig.vlan"`, "20", "vlanAllowed"),
		"chosen, none allowed":    bad(`"vlanAllowed":[],"args":{"cni":{"vlan":20}}`, `"args.cni.vlan"`, "20", "vlanAllowed"),
		"chosen, not allowed":     bad(`"vlanAllowed":[20,{"minID":100,"maxID":199}],"args":{"cni":{"vlan":200}}`, `"args.cni.vlan"`, "200", "20, 100-199"),
		"chosen 0":                bad(`"vlanAllowed":[20],"runtimeConfig":{"vlan":0}`, `"runtimeConfig.vlan"`, "0", "1 to 4094"),
		"chosen 4095":             bad(`"vlanAllowed":[20],"args":{"cni":{"vlan":4095}}`, `"args.cni.vlan"`, "4095", "1 to 4094"),
		"chosen as text":          bad(`"vlanAllowed":[20],"args":{"cni":{"vlan":"20"}}`, `"args.cni.vlan"`, `"20"`, "whole number"),
		"chosen out of the trunk": bad(`"vlanAllowed":[20],"vlanTrunk":[{"id":20}],"runtimeConfig":{"vlan":20}`, `"vlan": 20`, `"vlanTrunk"`),
	}
	args := func(keys, args string, code uint, says ...string) refusal {
		return refusal{conf: minimal + "," + keys + "}", args: args, code: code, says: says}
	}
	cases["CNI_ARGS not allowed"] = args(`"vlanAllowed":[20]`, "VLAN=21", code, "CNI_ARGS VLAN", "21", "20")
	cases["CNI_ARGS unasked"] = args(`"vlan":20`, "VLAN=20", code, "CNI_ARGS VLAN", "20", "vlanAllowed")
	for _, value := range []string{"", "0", "4095", "-1", "+20", "20 ", "0x14", "65556", "twenty"} {
		cases["CNI_ARGS VLAN="+value] = args(`"vlanAllowed":[20]`, "VLAN="+value, env, "CNI_ARGS VLAN", value, "1 to 4094")
	}
	return cases
}

func TestABadVLANIsRefusedByKeyValueAndWhatIsAllowed(t *testing.T) {
	for name, c := range vlanRefusals() {
		t.Run(name, func(t *testing.T) {
			b, err := netconf.ParseBridge([]byte(c.conf), c.args)
			checkRefusal(t, err, c)
			if b == nil || b.Name != "lan" {
				t.Errorf("got %+v; a DEL needs what could be read", b)
			}
		})
	}
}

// checkVLANs fails where what was accepted is not what the kernel can do.
func checkVLANs(t *testing.T, b *netconf.Bridge) {
	t.Helper()
	last := uint16(0)
	for _, r := range b.Trunk {
		if r.First <= last || r.Last < r.First || r.Last > 4094 || r.Contains(b.VLAN) {
			t.Fatalf("accepted the trunk %v beside %d", b.Trunk, b.VLAN)
		}
		last = r.Last
	}
	subinterface := b.Mode == netconf.ModeSubinterface
	if b.VLAN > 4094 || b.OuterVLAN > 4094 || b.OuterVLAN != 0 && (b.VLAN == 0 || !subinterface) || subinterface && (b.Uplink == "" || len(b.Trunk) > 0) ||
		!slices.Contains([]netconf.VLANMode{netconf.ModeAuto, netconf.ModeSubinterface, netconf.ModeFiltering}, b.Mode) {
		t.Fatalf("accepted %+v", b.VLANs)
	}
}
