package integration_test

import (
	"maps"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/podlan/podlan/integration/lab"
)

func TestKeyMACIsTheRuntimesBeforeTheConfsBeforeCNIARGS(t *testing.T) {
	t.Parallel()
	const capability, conf, env = "02:00:5e:00:00:0a", "02:00:5e:00:00:0b", "02:00:5e:00:00:0c"
	byCapability := lab.Attachment{CapabilityArgs: map[string]any{"mac": capability}}
	byEnv := lab.Attachment{Args: [][2]string{{"IgnoreUnknown", "1"}, {"MAC", env}}}
	all := lab.Attachment{CapabilityArgs: byCapability.CapabilityArgs, Args: byEnv.Args}
	wants := object{"capabilities": object{"mac": true}}
	inConf := object{"args": object{"cni": object{"mac": conf}}}
	both := object{"capabilities": object{"mac": true}, "args": object{"cni": object{"mac": conf}}}
	cases := map[string]struct {
		keys object
		at   lab.Attachment
		want string
	}{
		"capability":                        {wants, byCapability, capability},
		"args.cni":                          {inConf, lab.Attachment{}, conf},
		"CNI_ARGS":                          {nil, byEnv, env},
		"all three":                         {both, all, capability},
		"args.cni and CNI_ARGS":             {inConf, byEnv, conf},
		"a capability that nobody declares": {nil, byCapability, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, reference := twoSides(t, lab.Options{Server: lab.Embedded}, lab.NodeOptions{Bridge: "lan0"})
			ours.node.StartPodland()
			for _, s := range []side{reference, ours} {
				keys := object{"bridge": "lan0", "ipam": hostLocal()}
				if s.plugin == "podlan-bridge" {
					keys["ipam"] = leased()
				}
				maps.Copy(keys, c.keys)
				result := attach(t, s.node, s.conf(keys), s.pod, c.at)
				mac := link(t, s.pod.Netns, "eth0").Attrs().HardwareAddr.String()
				if result.Interfaces[2].Mac != mac || (c.want != "" && mac != c.want) {
					t.Errorf("%s: the Pod's MAC is %s, the result says %s, want %s", s.plugin, mac, result.Interfaces[2].Mac, c.want)
				}
			}
			mac := link(t, ours.pod.Netns, "eth0").Attrs().HardwareAddr.String()
			for _, e := range ours.lab.Server().Embedded().Received() {
				if e.MAC.String() != mac || e.SrcMAC.String() != mac {
					t.Errorf("%s from %s as %s, want %s", e.Type, e.SrcMAC, e.MAC, mac)
				}
			}
		})
	}
}

func TestKeyMACThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.None}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	for name, mac := range map[string]string{"multicast": "03:00:5e:00:00:01", "zeros": "00:00:00:00:00:00", "short": "02:00:5e"} {
		conf := network(node, hostLocal(), object{"args": object{"cni": object{"mac": mac}}})
		_, err := node.Add(t.Context(), conf, node.Pod(name+"-conf"))
		says(t, err, types.ErrInvalidNetworkConfig, "args.cni.mac", mac)
		_, err = node.Add(t.Context(), network(node, hostLocal()), node.Pod(name+"-env"), lab.Attachment{Args: [][2]string{{"MAC", mac}}})
		says(t, err, types.ErrInvalidEnvironmentVariables, "CNI_ARGS MAC", mac)
	}
}

// host-local refuses keys of CNI_ARGS that it does not know, unless told not
// to: with the reference this ADD fails.
func TestKeyMACInCNIARGSAloneDoesNotDisturbIPAM(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.None}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	pod := node.Pod("p1")
	const mac = "02:00:5e:00:00:0c"
	at := lab.Attachment{Args: [][2]string{{"MAC", mac}}}
	conf := network(node, hostLocal())
	if result := attach(t, node, conf, pod, at); result.Interfaces[2].Mac != mac {
		t.Errorf("the Pod's MAC is %s, want %s", result.Interfaces[2].Mac, mac)
	}
	if err := node.Check(t.Context(), conf, pod, at); err != nil {
		t.Errorf("CHECK: %v", err)
	}
	detach(t, node, conf, pod, at)
}
