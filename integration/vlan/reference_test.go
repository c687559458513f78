package vlan_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/integration/lab"
)

// seen is what an ADD did, in words that are the same for every bridge plugin.
type seen struct {
	Result any // as printed, names and MACs replaced
	Port   []lab.PortVLAN
	// Filtering and DefaultPVID are the bridge's.
	Filtering   bool
	DefaultPVID uint16
	// Gateway are the addresses of <bridge>.<vid>.
	Gateway []string
	Pod     []string
}

// side is a node on which one of the two bridges is tried.
type side struct {
	node   *lab.Node
	plugin string
}

func (s side) conf(keys object) []byte {
	conf := object{"cniVersion": "1.0.0", "name": "lan", "type": s.plugin, "bridge": "lan0"}
	maps.Copy(conf, keys)
	return s.node.Conf(conf)
}

func (s side) attach(t *testing.T, pod *lab.Pod, keys object) seen {
	t.Helper()
	result, err := s.node.Add(t.Context(), s.conf(keys), pod)
	if err != nil {
		t.Fatalf("%s: ADD: %v", s.plugin, err)
	}
	port, err := s.node.VLANTable(lab.Result(t, result).Interfaces[1].Name)
	must(t, err)
	saw := seen{Result: anonymous(t, result), Port: port, Pod: pod.Snapshot().Links["eth0"].Addresses}
	if bridge, ok := link(t, s.node.Netns, "lan0").(*netlink.Bridge); ok {
		saw.Filtering, saw.DefaultPVID = *bridge.VlanFiltering, *bridge.VlanDefaultPVID
	}
	saw.Gateway = s.node.Snapshot().Links["lan0.10"].Addresses
	return saw
}

// anonymous is a result as JSON without what no two attachments share.
func anonymous(t *testing.T, result types.Result) any {
	t.Helper()
	raw, err := json.Marshal(result)
	must(t, err)
	interfaces := lab.Result(t, result).Interfaces
	var replace []string
	for _, i := range interfaces {
		replace = append(replace, i.Mac, "its MAC")
	}
	replace = append(replace, interfaces[1].Name, "host end", interfaces[2].Sandbox, "namespace")
	var text any
	must(t, json.Unmarshal([]byte(strings.NewReplacer(replace...).Replace(string(raw))), &text))
	return text
}

// Keys that the reference bridge has do what they do there. Not alike are what
// it leaves to the administrator: the uplink's VLANs, and the bridge's own.
func TestVLANKeysDoWhatTheyDoInTheReference(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{Server: lab.None})
	ipam := func() object { return object{"type": "host-local", "subnet": "10.22.0.0/16"} }
	trunk := []object{{"minID": 20, "maxID": 22}, {"id": 30}}
	cases := map[string]object{
		"vlan":                          {"vlan": 10},
		"vlan, the default preserved":   {"vlan": 10, "preserveDefaultVlan": true},
		"vlan, it is not":               {"vlan": 10, "preserveDefaultVlan": false},
		"vlan 1":                        {"vlan": 1},
		"vlanTrunk":                     {"vlanTrunk": trunk},
		"vlanTrunk, default preserved":  {"vlanTrunk": trunk, "preserveDefaultVlan": true},
		"both":                          {"vlan": 10, "vlanTrunk": trunk},
		"both, default preserved":       {"vlan": 10, "vlanTrunk": trunk, "preserveDefaultVlan": true},
		"isGateway":                     {"vlan": 10, "isGateway": true},
		"isDefaultGateway":              {"vlan": 10, "isDefaultGateway": true},
		"isGateway, default preserved":  {"vlan": 10, "isGateway": true, "preserveDefaultVlan": true},
		"isGateway with a trunk":        {"vlan": 10, "isGateway": true, "vlanTrunk": trunk},
		"isGateway, trunk without vlan": {"isGateway": true, "vlanTrunk": trunk},
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) {
			keys := object{"ipam": ipam()}
			maps.Copy(keys, cases[name])
			saw := map[string]seen{}
			for _, plugin := range []string{"bridge", "podlan-bridge"} {
				id := strings.NewReplacer(" ", "", ",", "").Replace(name) + plugin
				s := side{l.Node(id, lab.NodeOptions{NoUplink: true}), plugin}
				saw[plugin] = s.attach(t, s.node.Pod("p1"), keys)
			}
			if diff := cmp.Diff(saw["bridge"], saw["podlan-bridge"]); diff != "" {
				t.Errorf("the reference (-) and podlan-bridge (+) differ:\n%s", diff)
			}
		})
	}
}

// The gateway of a VLAN is an interface of its own on the bridge: it answers the
// Pods of that VLAN alone, and goes with the last of them.
func TestTheGatewayOfAVLANIsInThatVLAN(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{Server: lab.None})
	node := l.Node("n1", lab.NodeOptions{})
	before := node.Snapshot()
	conf := func(vid int) []byte {
		ipam := object{"type": "host-local", "subnet": fmt.Sprintf("10.%d.0.0/16", vid)}
		return network(node, ipam, object{"name": fmt.Sprintf("pods%d", vid), "bridge": "pods0", "vlan": vid, "isGateway": true})
	}
	first, second, other := node.Pod("p1"), node.Pod("p2"), node.Pod("p3")
	a, b := attach(t, node, conf(10), first), attach(t, node, conf(10), second)
	gateway := netip.MustParseAddr("10.10.0.1")
	for _, r := range []struct {
		pod  *lab.Pod
		addr netip.Addr
	}{{first, address(t, a)}, {second, address(t, b)}} {
		reaches(t, r.pod.Netns, gateway)
		reaches(t, node.Netns, r.addr)
	}
	reaches(t, first.Netns, address(t, b))
	attach(t, node, conf(20), other)
	for name, want := range map[string]string{"pods0.10": "10.10.0.1/16", "pods0.20": "10.20.0.1/16"} {
		if bears := node.Snapshot().Links[name].Addresses; !slices.Equal(bears, []string{want}) {
			t.Errorf("%s bears %v, want %s", name, bears, want)
		}
	}
	must(t, node.Check(t.Context(), conf(10), first))
	detach(t, node, conf(10), first)
	reaches(t, second.Netns, gateway)
	detach(t, node, conf(10), second)
	if links, _ := node.Links(); slices.Contains(links, "pods0.10") {
		t.Errorf("the gateway of a VLAN without Pods is left: %v", links)
	}
	detach(t, node, conf(20), other)
	asBefore(t, node, before)
}
