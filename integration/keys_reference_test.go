package integration_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab"
)

// seen is what an ADD did, in words that are the same for every bridge plugin.
type seen struct {
	Result  any // as printed, names and MACs replaced
	Bridge  linkSeen
	Pod     linkSeen
	Sysctls map[string]string
	// Of the host end.
	Hairpin, Isolated bool
}

// linkSeen is what keys change of a link.
type linkSeen struct {
	Up, Promisc bool
	MTU         int
	Addresses   []string
	Routes      []string // that leave by it, with metric
}

// see looks at the attachment of eth0 in the Pod.
func see(t *testing.T, node *lab.Node, pod *lab.Pod, result types.Result) seen {
	t.Helper()
	current := lab.Result(t, result)
	if len(current.Interfaces) != 3 {
		t.Fatalf("%d interfaces in the result, want bridge, host end, Pod end: %v", len(current.Interfaces), result)
	}
	s := seen{
		Result:  anonymous(t, result),
		Bridge:  seeLink(t, node.Netns, current.Interfaces[0].Name, current.Interfaces[0].Mac),
		Pod:     seeLink(t, pod.Netns, "eth0", current.Interfaces[2].Mac),
		Sysctls: map[string]string{},
	}
	for _, key := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
		s.Sysctls["node "+key] = sysctl(t, node.Netns, key)
	}
	for _, key := range []string{
		"net/ipv6/conf/eth0/accept_dad", "net/ipv6/conf/eth0/enhanced_dad", "net/ipv6/conf/eth0/disable_ipv6",
		"net/ipv6/conf/eth0/keep_addr_on_down", "net/ipv6/conf/lo/disable_ipv6",
	} {
		s.Sysctls["Pod "+key] = sysctl(t, pod.Netns, key)
	}
	port := protinfo(t, node, current.Interfaces[1].Name)
	s.Hairpin, s.Isolated = port.Hairpin, port.Isolated
	return s
}

// anonymous is a result as JSON without what no two attachments share.
func anonymous(t *testing.T, result types.Result) any {
	t.Helper()
	raw, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	interfaces := lab.Result(t, result).Interfaces
	replace := []string{}
	for _, i := range interfaces {
		replace = append(replace, i.Mac, "its MAC")
	}
	replace = append(replace, interfaces[1].Name, "host end", interfaces[2].Sandbox, "namespace")
	var text any
	if err := json.Unmarshal([]byte(strings.NewReplacer(replace...).Replace(string(raw))), &text); err != nil {
		t.Fatal(err)
	}
	return text
}

// seeLink fails the test where the result tells another MAC than the kernel.
func seeLink(t *testing.T, in *lab.Netns, name, mac string) linkSeen {
	t.Helper()
	attrs := link(t, in, name).Attrs()
	if attrs.HardwareAddr.String() != mac {
		t.Errorf("%s in %s has the MAC %s, the result says %s", name, in.Name(), attrs.HardwareAddr, mac)
	}
	s := linkSeen{Up: attrs.RawFlags&unix.IFF_UP != 0, Promisc: attrs.RawFlags&unix.IFF_PROMISC != 0, MTU: attrs.MTU}
	s.Addresses = in.Snapshot().Links[name].Addresses
	for _, r := range routesOf(t, in, name) {
		if r.Dst == nil || !r.Dst.IP.IsLinkLocalUnicast() { // the kernel's own come with carrier
			s.Routes = append(s.Routes, fmt.Sprintf("%v via %v scope %v metric %d", r.Dst, r.Gw, r.Scope, r.Priority))
		}
	}
	slices.Sort(s.Routes)
	return s
}

func link(t *testing.T, in *lab.Netns, name string) netlink.Link {
	t.Helper()
	h, err := in.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	found, err := h.LinkByName(name)
	if err != nil {
		t.Fatalf("%s in %s: %v", name, in.Name(), err)
	}
	return found
}

func routesOf(t *testing.T, in *lab.Netns, name string) []netlink.Route {
	t.Helper()
	h, err := in.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	routes, err := h.RouteList(link(t, in, name), netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	return routes
}

func protinfo(t *testing.T, node *lab.Node, hostEnd string) netlink.Protinfo {
	t.Helper()
	h, err := node.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	info, err := h.LinkGetProtinfo(link(t, node.Netns, hostEnd))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func sysctl(t *testing.T, in *lab.Netns, key string) string {
	t.Helper()
	value, err := in.Sysctl(key)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// side is a LAN, a node and a Pod in which one of the two bridges is tried.
type side struct {
	t      *testing.T
	lab    *lab.Lab
	node   *lab.Node
	pod    *lab.Pod
	plugin string
}

// twoSides are two LANs alike, for podlan-bridge and for the reference.
func twoSides(t *testing.T, opts lab.Options, where lab.NodeOptions) (ours, reference side) {
	t.Helper()
	if opts.Server == "" {
		opts.Server = lab.None
	}
	build := func(plugin string) side {
		l := lab.New(t, options(t, opts))
		node := l.Node("n1", where)
		return side{t: t, lab: l, node: node, pod: node.Pod("p1"), plugin: plugin}
	}
	return build("podlan-bridge"), build("bridge")
}

// conf is a conf of the side's plugin: the reference's, but for its type.
func (s side) conf(keys object) []byte {
	conf := object{"cniVersion": "1.0.0", "name": "lan", "type": s.plugin}
	maps.Copy(conf, keys)
	return s.node.Conf(conf)
}

func (s side) attach(keys object) seen {
	s.t.Helper()
	result, err := s.node.Add(s.t.Context(), s.conf(keys), s.pod)
	if err != nil {
		s.t.Fatalf("%s: ADD: %v", s.plugin, err)
	}
	return see(s.t, s.node, s.pod, result)
}

// alike fails the test where ours did something else than the reference.
func alike(t *testing.T, reference, ours any) {
	t.Helper()
	if diff := cmp.Diff(reference, ours); diff != "" {
		t.Errorf("the reference (-) and podlan-bridge (+) differ:\n%s", diff)
	}
}

// podNet is a network of Pods alone, behind a gateway on the node.
func podNet(keys ...object) object {
	ipam := object{"type": "host-local", "subnet": "10.22.0.0/16"}
	for _, more := range keys {
		maps.Copy(ipam, more)
	}
	return ipam
}

func TestKeysDoWhatTheyDoInTheReference(t *testing.T) {
	t.Parallel()
	const subnet6 = "2001:db8:22::/64"
	onLAN := lab.NodeOptions{Bridge: "lan0"}
	defaults := []object{{"dst": "0.0.0.0/0"}}
	dual := object{"type": "host-local", "ranges": [][]object{{{"subnet": "10.22.0.0/16"}}, {{"subnet": subnet6}}}}
	cases := map[string]struct {
		node lab.NodeOptions
		keys object
	}{
		"nothing but an address":        {onLAN, object{"bridge": "lan0", "ipam": hostLocal()}},
		"no ipam":                       {onLAN, object{"bridge": "lan0"}},
		"an empty ipam":                 {onLAN, object{"bridge": "lan0", "ipam": object{}}},
		"no bridge named":               {lab.NodeOptions{}, object{"ipam": podNet()}},
		"isGateway":                     {lab.NodeOptions{}, object{"isGateway": true, "ipam": podNet()}},
		"isGateway, gateway given":      {lab.NodeOptions{}, object{"isGateway": true, "ipam": podNet(object{"gateway": "10.22.9.9"})}},
		"isGateway, a default route":    {lab.NodeOptions{}, object{"isGateway": true, "ipam": podNet(object{"routes": defaults})}},
		"isDefaultGateway":              {lab.NodeOptions{}, object{"isDefaultGateway": true, "ipam": podNet()}},
		"isDefaultGateway, other route": {lab.NodeOptions{}, object{"isDefaultGateway": true, "ipam": podNet(object{"routes": []object{{"dst": "192.0.2.0/24"}}})}},
		"isDefaultGateway, own default": {lab.NodeOptions{}, object{"isDefaultGateway": true, "ipam": podNet(object{"routes": []object{{"dst": "0.0.0.0/0", "gw": "10.22.0.7"}}})}},
		"mtu of a new bridge":           {lab.NodeOptions{}, object{"mtu": 1400, "ipam": podNet()}},
		"hairpinMode":                   {onLAN, object{"bridge": "lan0", "hairpinMode": true, "ipam": hostLocal()}},
		"promiscMode":                   {onLAN, object{"bridge": "lan0", "promiscMode": true, "ipam": hostLocal()}},
		"promiscMode of a new bridge":   {lab.NodeOptions{}, object{"promiscMode": true, "ipam": podNet()}},
		"portIsolation":                 {onLAN, object{"bridge": "lan0", "portIsolation": true, "ipam": hostLocal()}},
		"enabledad":                     {onLAN, object{"bridge": "lan0", "enabledad": true, "ipam": hostLocal()}},
		"disableContainerInterface":     {onLAN, object{"bridge": "lan0", "disableContainerInterface": true}},
		"preserveDefaultVlan":           {onLAN, object{"bridge": "lan0", "preserveDefaultVlan": true, "ipam": hostLocal()}},
		"vlan 0 and no trunk":           {onLAN, object{"bridge": "lan0", "vlan": 0, "vlanTrunk": []object{}, "ipam": hostLocal()}},
		"dns":                           {onLAN, object{"bridge": "lan0", "dns": object{"nameservers": []string{"192.0.2.53"}, "domain": "a.example", "search": []string{"b.example"}, "options": []string{"ndots:2"}}, "ipam": hostLocal()}},
		"dns emptied":                   {onLAN, object{"bridge": "lan0", "dns": object{"nameservers": []string{}}, "ipam": hostLocal()}},
		"keys in another case":          {onLAN, object{"Bridge": "lan0", "HairpinMode": true, "ipam": hostLocal()}},
		"IPv6":                          {lab.NodeOptions{}, object{"isDefaultGateway": true, "ipam": object{"type": "host-local", "subnet": subnet6}}},
		"IPv6 on the LAN":               {onLAN, object{"bridge": "lan0", "ipam": object{"type": "host-local", "subnet": subnet6, "routes": []object{{"dst": "::/0"}}}}},
		"IPv6 with enabledad":           {onLAN, object{"bridge": "lan0", "enabledad": true, "ipam": object{"type": "host-local", "subnet": subnet6}}},
		"dual-stack":                    {lab.NodeOptions{}, object{"isDefaultGateway": true, "ipam": dual}},
		"version 0.3.1":                 {lab.NodeOptions{}, object{"cniVersion": "0.3.1", "isDefaultGateway": true, "ipam": dual}},
		"version 0.4.0":                 {lab.NodeOptions{}, object{"cniVersion": "0.4.0", "isGateway": true, "ipam": podNet(object{"routes": defaults})}},
		"version 1.1.0":                 {lab.NodeOptions{}, object{"cniVersion": "1.1.0", "isGateway": true, "ipam": podNet(object{"routes": defaults})}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, reference := twoSides(t, lab.Options{}, c.node)
			alike(t, reference.attach(c.keys), ours.attach(c.keys))
			if c.keys["cniVersion"] != "0.3.1" { // which has no CHECK
				if err := ours.node.Check(t.Context(), ours.conf(c.keys), ours.pod); err != nil {
					t.Errorf("CHECK: %v", err)
				}
			}
			detach(t, ours.node, ours.conf(c.keys), ours.pod)
		})
	}
}
