package integration_test

import (
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/podlan/podlan/integration/lab"
)

// says checks an error's code and words.
func says(t *testing.T, err error, code uint, words ...string) {
	t.Helper()
	if cniCode(err) != code {
		t.Errorf("%v: code %d, want %d", err, cniCode(err), code)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}

func TestWithoutADHCPServerAnADDSaysWhatWasSentSeenAndIsToBeChecked(t *testing.T) {
	t.Parallel()
	_, node := lanWithoutDHCP(t)
	node.StartPodland()
	before := node.Snapshot()
	conf := network(node, leased(), object{"budget": "10s"})
	pod := node.Pod("p1")
	_, err := node.Add(t.Context(), conf, pod)
	says(t, err, types.ErrTryAgainLater, "no DHCPOFFER on eth1", "DISCOVER sent", "carrier up", "0 frames", "?")
	asBefore(t, node, before)
	detach(t, node, conf, pod)
}

func TestWithPodlandDownAnADDFailsAtOnceAndADELSucceeds(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	before := node.Snapshot()
	conf := network(node, leased())
	pod := node.Pod("p1")
	_, err := node.Add(t.Context(), conf, pod)
	says(t, err, types.ErrTryAgainLater, "podland is not running", "systemctl status podland")
	asBefore(t, node, before)
	detach(t, node, conf, pod)
}

func TestABadConfIsRefusedByTheBinary(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.None}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	prepareUplinks(t, l, node)
	before := node.Snapshot()
	const config = types.ErrInvalidNetworkConfig
	cases := map[string]struct {
		keys  object
		code  uint
		words []string
	}{
		"a wrong type":               {object{"hairpinMode": "no"}, config, []string{`"hairpinMode"`, `"no"`, "true or false"}},
		"a range":                    {object{"mtu": 70000}, config, []string{`"mtu"`, "70000", "65535"}},
		"an MTU above the bridge":    {object{"mtu": 9000}, config, []string{`"mtu"`, "9000", "1500"}},
		"a contradiction":            {object{"hairpinMode": true, "promiscMode": true}, config, []string{"hairpinMode", "promiscMode"}},
		"a long name":                {object{"bridge": "a-very-long-bridge"}, config, []string{`"bridge"`, "15"}},
		"a VLAN":                     {object{"vlan": 20}, config, []string{`"vlan"`, "20"}},
		"no such uplink":             {object{"bridge": "new0", "uplink": "eth9"}, config, []string{`"uplink"`, `"eth9"`, "no such link"}},
		"an uplink with a master":    {object{"bridge": "new0", "uplink": "eth1"}, config, []string{`"uplink"`, "eth1", "lan0"}},
		"an uplink with addresses":   {object{"bridge": "new0", "uplink": "addressed0"}, config, []string{`"uplink"`, "addressed0", "198.51.100.1"}},
		"an uplink that is a bridge": {object{"bridge": "new0", "uplink": "lan0"}, config, []string{`"uplink"`, "lan0", "bridge"}},
		"no port of the bridge":      {object{"uplink": "spare0"}, config, []string{`"uplink"`, "spare0"}},
		"no bridge":                  {object{"bridge": "eth1"}, config, []string{`"bridge"`, "eth1"}},
		"no such IPAM plugin":        {object{"ipam": object{"type": "nothing"}}, config, []string{`"ipam.type"`, "nothing"}},
		"an unknown key of ours":     {object{"ipam": object{"type": "podlan-dhcp", "subnet": "198.18.0.0/16"}}, config, []string{`"ipam.subnet"`, "daemonSocketPath"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			conf := network(node, hostLocal(), c.keys)
			pod := node.Pod(strings.ReplaceAll(name, " ", "-"))
			_, err := node.Add(t.Context(), conf, pod)
			says(t, err, c.code, c.words...)
			detach(t, node, conf, pod)
			asBefore(t, node, before)
		})
	}
}

func TestSeveralCandidatesForTheUplinkAreNamed(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.None}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	prepareUplinks(t, l, node)
	makePort(t, node, "spare0", "lan0")
	_, err := node.Add(t.Context(), network(node, leased()), node.Pod("p1"))
	says(t, err, types.ErrInvalidNetworkConfig, `"uplink"`, "eth1", "spare0")
}

func TestANamespaceThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	_, node := lanWithoutDHCP(t)
	conf := network(node, hostLocal())
	pod := node.Pod("p1")
	_, err := node.Add(t.Context(), conf, pod, lab.Attachment{Netns: "/proc/self/status"})
	says(t, err, types.ErrInvalidEnvironmentVariables, "CNI_NETNS", "/proc/self/status")
	_, err = node.Add(t.Context(), conf, pod, lab.Attachment{Netns: node.Path()})
	says(t, err, types.ErrInvalidNetNS, "node's own")
}
