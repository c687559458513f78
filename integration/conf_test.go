package integration_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/netconf"
)

// vlanSamples begin with it: they need a kernel with 802.1Q, so integration/vlan
// tries them, where there is one. integration/house sees to it that each is
// named there.
const vlanSamples = "9"

// place is where a sample of conf/ works just as it stands.
type place struct {
	node   lab.NodeOptions
	server bool // a DHCP server on the node, none on the LAN
}

func places() map[string]place {
	lan0 := place{node: lab.NodeOptions{Bridge: "lan0"}}
	spare := place{node: lab.NodeOptions{NoAddress: true}}
	return map[string]place{
		"10-podlan.conflist":           lan0,
		"20-own-bridge.conflist":       spare,
		"30-dhcp-options.conflist":     lan0,
		"40-server-on-node.conflist":   {node: lab.NodeOptions{NoUplink: true, Bridge: "pods0"}, server: true},
		"50-static-addresses.conflist": lan0,
		"60-macvlan.conflist":          spare,
		"70-snooped-switch.conflist":   lan0,
		"80-virtual-router.conflist":   lan0,
	}
}

func TestEverySampleWorksAsItStands(t *testing.T) {
	t.Parallel()
	for _, file := range samples(t) {
		name := filepath.Base(file)
		if strings.HasPrefix(name, vlanSamples) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			where, ok := places()[name]
			if !ok {
				t.Fatal("there is no place to try it in; add one to places")
			}
			trySample(t, name, where)
		})
	}
}

func trySample(t *testing.T, name string, where place) {
	t.Helper()
	opts := lab.Options{Server: lab.Dnsmasq}
	if where.server {
		opts.Server = lab.None
	}
	l := lab.New(t, options(t, opts))
	node := l.Node("n1", where.node)
	if where.server {
		node.RunServer(lab.Dnsmasq, where.node.Bridge)
	}
	node.StartPodland()
	conf := sample(t, node, name)
	pod := node.Pod("p1")
	args := lab.Attachment{Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "shop"}, {"K8S_POD_NAME", "web-0"}}}
	addr := address(t, attach(t, node, conf, pod, args))
	if where.server {
		reaches(t, node, addr)
	} else {
		reaches(t, l.Host("client"), addr)
	}
	detach(t, node, conf, pod, args)
}

func samples(t *testing.T) []string {
	t.Helper()
	root, err := lab.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "conf", "*.conflist"))
	if err != nil || len(files) == 0 {
		t.Fatalf("samples: %v, %v", files, err)
	}
	return files
}

// What a sample says is the same on every kernel.
func TestEverySampleIsReadWithoutAWarning(t *testing.T) {
	t.Parallel()
	for _, file := range samples(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var list struct{ Plugins []json.RawMessage }
			if err := json.Unmarshal(raw, &list); err != nil || len(list.Plugins) == 0 {
				t.Fatalf("plugins: %d, %v", len(list.Plugins), err)
			}
			for _, plugin := range list.Plugins {
				taken(t, plugin, strings.HasPrefix(filepath.Base(file), vlanSamples))
			}
		})
	}
}

// taken fails the test unless our plugins take the conf as it stands.
func taken(t *testing.T, plugin []byte, onVLAN bool) {
	t.Helper()
	if _, err := netconf.ParseDHCP(plugin, ""); err != nil && strings.Contains(string(plugin), netconf.TypeDHCP) {
		t.Error(err)
	}
	if !strings.Contains(string(plugin), netconf.TypeBridge) {
		return
	}
	b, err := netconf.ParseBridge(plugin, "")
	if err != nil || len(b.Warnings) > 0 {
		t.Fatalf("%v, warnings %q", err, b.Warnings)
	}
	if got := b.VLAN != 0; got != onVLAN {
		t.Errorf("VLAN %d, but VLANs are in samples that begin with %s, and only there", b.VLAN, vlanSamples)
	}
}
