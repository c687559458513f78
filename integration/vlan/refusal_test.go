package vlan_test

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
)

// refusedNode is one with a plain bridge, one that filters, a NIC with the node's
// address, NICs to spare, and a VLAN device of somebody else's.
func refusedNode(t *testing.T) *lab.Node {
	t.Helper()
	l := newLab(t, lab.Options{Server: lab.None})
	node := l.Node("n1", lab.NodeOptions{})
	must(t, node.AddBridge("plain0", false))
	must(t, node.AddBridge("filter0", true))
	for _, nic := range []string{"port0", "spare0", "spare1", "other0"} {
		must(t, node.AddNIC(nic))
	}
	must(t, node.Enslave("port0", "filter0"))
	must(t, node.Enslave("other0", "plain0"))
	must(t, node.AddVLANLink("eth1", "office", 77, ether.Dot1Q))
	must(t, node.AddAddress("office", netip.MustParsePrefix("198.51.100.1/24")))
	must(t, node.AddVLANLink("eth1", "taken", 78, ether.Dot1Q))
	must(t, node.Enslave("taken", "plain0"))
	return node
}

func TestWhatCannotBeIsRefusedWithWhatIsAllowedAndNothingIsLeft(t *testing.T) {
	t.Parallel()
	node := refusedNode(t)
	before := node.Snapshot()
	trunk := func(entries ...object) object { return object{"bridge": "filter0", "vlanTrunk": entries} }
	cases := map[string]struct {
		keys  object
		words []string
	}{
		"a VID below 0":                   {object{"vlan": -1}, []string{`"vlan"`, "-1", "4094"}},
		"a VID above 4094":                {object{"vlan": 4095}, []string{`"vlan"`, "4095", "4094"}},
		"no whole number":                 {object{"vlan": "ten"}, []string{`"vlan"`, "ten"}},
		"an unknown mode":                 {object{"vlan": 10, "vlanMode": "trunk"}, []string{`"vlanMode"`, "subinterface", "filtering"}},
		"a range reversed":                {trunk(object{"minID": 30, "maxID": 20}), []string{`"vlanTrunk"`, "30", "20", "maxID"}},
		"ranges overlapping":              {trunk(object{"minID": 20, "maxID": 30}, object{"id": 25}), []string{`"vlanTrunk"`, "25", "once"}},
		"half a range":                    {trunk(object{"minID": 20}), []string{`"vlanTrunk"`, "maxID"}},
		"a range beyond":                  {trunk(object{"minID": 20, "maxID": 5000}), []string{"5000", "4094"}},
		"its own VLAN in the trunk":       {object{"bridge": "filter0", "vlan": 20, "vlanTrunk": []object{{"id": 20}}}, []string{`"vlan"`, `"vlanTrunk"`, "20"}},
		"a trunk by a sub-interface":      {object{"bridge": "new0", "uplink": "eth1", "vlan": 10, "vlanMode": "subinterface", "vlanTrunk": []object{{"id": 20}}}, []string{`"vlanTrunk"`, "subinterface"}},
		"a sub-interface of nothing":      {object{"bridge": "new0", "vlan": 10, "vlanMode": "subinterface"}, []string{`"uplink"`}},
		"a sub-interface of no link":      {object{"bridge": "new0", "vlan": 10, "uplink": "eth9"}, []string{`"uplink"`, "eth9"}},
		"an outer VLAN and filtering":     {object{"bridge": "filter0", "vlan": 10, "outerVlan": 100, "vlanMode": "filtering"}, []string{`"outerVlan"`, "subinterface"}},
		"filtering by a plain bridge":     {object{"bridge": "plain0", "vlan": 10, "vlanMode": "filtering"}, []string{"plain0", "ip link set plain0 type bridge vlan_filtering 1"}},
		"a VLAN on a plain bridge":        {object{"bridge": "plain0", "vlan": 10}, []string{"plain0", "vlan_filtering 1", `"uplink"`}},
		"an uplink that is no port":       {object{"bridge": "filter0", "uplink": "spare0", "vlan": 10}, []string{`"uplink"`, "spare0", "filter0"}},
		"an uplink of another bridge":     {object{"bridge": "filter0", "uplink": "other0", "vlan": 10}, []string{`"uplink"`, "other0"}},
		"a VLAN device with addresses":    {object{"bridge": "new0", "uplink": "eth1", "vlan": 77}, []string{"office", "198.51.100.1"}},
		"a VLAN device of another bridge": {object{"bridge": "new0", "uplink": "eth1", "vlan": 78}, []string{"taken", "plain0"}},
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) {
			c := cases[name]
			conf := network(node, hostLocal(), c.keys)
			pod := node.Pod(strings.ReplaceAll(name, " ", "-"))
			_, err := node.Add(t.Context(), conf, pod)
			says(t, err, types.ErrInvalidNetworkConfig, c.words...)
			asBefore(t, node, before)
			if files, err := node.StateFiles(); err != nil || len(files) > 0 {
				t.Errorf("left behind: %v, %v", files, err)
			}
		})
	}
}

// One bridge that does not filter is one broadcast domain.
func TestTwoVLANsInOneBridgeThatDoesNotFilterAreRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{Server: lab.None})
	node := l.Node("n1", lab.NodeOptions{})
	must(t, node.AddVLANLink("eth1", "guests", 20, ether.Dot1Q))
	before := node.Snapshot()
	on := func(vid uint16) []byte { return network(node, hostLocal(), object{"uplink": "eth1", "vlan": vid}) }
	first, second := node.Pod("p1"), node.Pod("p2")
	attach(t, node, on(10), first)
	between := node.Snapshot()
	bridge := between.Links["eth1.10"].Master
	for name, conf := range map[string][]byte{
		"another VLAN's device in it":    network(node, hostLocal(), object{"name": "second", "bridge": bridge, "uplink": "guests"}),
		"another VLAN of the bridge's":   network(node, hostLocal(), object{"name": "second", "bridge": bridge, "vlan": 20}),
		"the NIC itself":                 network(node, hostLocal(), object{"name": "second", "bridge": bridge, "uplink": "eth1"}),
		"filtering, where the NIC is up": network(node, hostLocal(), object{"name": "second", "bridge": bridge, "uplink": "eth1", "vlan": 20, "vlanMode": "filtering"}),
	} {
		_, err := node.Add(t.Context(), conf, second)
		says(t, err, types.ErrInvalidNetworkConfig)
		if diff := between.Diff(node.Snapshot()); diff != "" {
			t.Errorf("%s: was refused and left something:\n%s", name, diff)
		}
	}
	// What differs in the VLAN alone gets a bridge of its own, over the device
	// that stands.
	attach(t, node, on(20), second)
	if now := node.Snapshot(); now.Links["guests"].Master == bridge || now.Links["guests"].Master == "" {
		t.Errorf("guests is in %q, eth1.10 in %q", now.Links["guests"].Master, bridge)
	}
	detach(t, node, on(10), first)
	detach(t, node, on(20), second)
	asBefore(t, node, before)
}

// A port of the administrator's bridge gets VLANs from Podlan where the conf
// names it, and from the administrator otherwise.
func TestAnUplinkThatIsNotNamedKeepsItsVLANs(t *testing.T) {
	t.Parallel()
	s := newSiteWith(t, filtering, map[uint16]lab.VLANOptions{10: {}})
	s.node.StartPodland()
	conf := network(s.node, leased(), object{"vlan": 10})
	before := s.node.Snapshot()
	_, err := s.node.Add(t.Context(), conf, s.node.Pod("refused"))
	says(t, err, types.ErrInvalidNetworkConfig, "eth1", "10", "bridge vlan add dev eth1 vid 10", `"uplink"`)
	asBefore(t, s.node, before)

	must(t, s.node.SetVLAN("eth1", lab.PortVLAN{VID: 10}, false))
	before = s.node.Snapshot()
	pod := s.node.Pod("p1")
	result := attach(t, s.node, conf, pod)
	isAt(t, s.hosts[10], address(t, result), podMAC(t, result))
	detach(t, s.node, conf, pod)
	asBefore(t, s.node, before)
}
