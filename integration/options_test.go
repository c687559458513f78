package integration_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/integration/dhcpd"
	"github.com/podlan/podlan/integration/lab"
)

// classless is option 121 (RFC 3442): the default route by the lab's router, and
// the networks by 198.18.0.9.
func classless(networks ...string) []byte {
	value := []byte{0, 198, 18, 0, 1}
	for _, n := range networks {
		p := netip.MustParsePrefix(n)
		addr := p.Addr().As4()
		value = append(value, byte(p.Bits()))
		value = append(value, addr[:(p.Bits()+7)/8]...)
		value = append(value, 198, 18, 0, 9)
	}
	return value
}

func leasedWith(keys object) object {
	ipam := leased()
	maps.Copy(ipam, keys)
	return ipam
}

// destinations are a result's, and those of the Pod's own table by gateway.
func destinations(t *testing.T, result *types100.Result, pod *lab.Pod) []string {
	t.Helper()
	var told, stand []string
	for _, r := range result.Routes {
		told = append(told, r.Dst.String())
	}
	for _, r := range routesOf(t, pod.Netns, "eth0") {
		if r.Gw.To4() != nil && !r.Gw.IsLinkLocalUnicast() { // the way to Services and the node is not IPAM's
			stand = append(stand, r.Dst.String())
		}
	}
	slices.Sort(told)
	slices.Sort(stand)
	if !slices.Equal(told, stand) {
		t.Errorf("routes in the result %v, in the Pod %v", told, stand)
	}
	return told
}

// received is what a Pod has of a server's options.
type received struct {
	DNS    types.DNS
	MTU    int
	Told   int // the MTU in the result
	Routes []string
}

func TestKeyOptionsLeavesOutWhatThePodIsToDoWithout(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{
		Server: lab.Embedded, Domain: "lan.example", MTU: 1400, DNS: []netip.Addr{netip.MustParseAddr("198.18.0.53")},
		DHCPOptions: map[uint8][]byte{119: []byte("\x04corp\x07example\x00"), 121: classless("192.0.2.0/24")},
	}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	all := received{
		DNS: types.DNS{Nameservers: []string{"198.18.0.53"}, Domain: "lan.example", Search: []string{"corp.example"}},
		MTU: 1400, Told: 1400, Routes: []string{"0.0.0.0/0", "192.0.2.0/24"},
	}
	cases := map[string]func(*received){
		"none":   func(*received) {},
		"dns":    func(r *received) { r.DNS.Nameservers = nil },
		"domain": func(r *received) { r.DNS.Domain = "" },
		"search": func(r *received) { r.DNS.Search = nil },
		"mtu":    func(r *received) { r.MTU, r.Told = 1500, 0 },
		"routes": func(r *received) { r.Routes = []string{"0.0.0.0/0"} },
	}
	for part, change := range cases {
		t.Run(part, func(t *testing.T) {
			keys := object{}
			if part != "none" {
				keys = object{part: "ignore"}
			}
			conf := network(node, leasedWith(object{"options": keys}))
			pod := node.Pod(part)
			result := attach(t, node, conf, pod)
			want := all
			change(&want)
			got := received{
				DNS: result.DNS, MTU: link(t, pod.Netns, "eth0").Attrs().MTU, Told: result.Interfaces[2].Mtu,
				Routes: destinations(t, result, pod),
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if err := node.Check(t.Context(), conf, pod); err != nil {
				t.Errorf("CHECK: %v", err)
			}
			detach(t, node, conf, pod)
		})
	}
}

func TestTheServersMTUIsNeverAboveTheLinks(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	cases := map[string]struct {
		server uint16
		keys   object
		want   int
	}{
		"less than the link's":            {1400, object{}, 1400},
		"more than the link's":            {9000, object{}, 1500},
		"less than the conf's":            {1300, object{"mtu": 1400}, 1300},
		"more than the conf's":            {1400, object{"mtu": 1300}, 1300},
		"in a result that cannot tell it": {1400, object{"cniVersion": "1.0.0"}, 1400},
		"of a Pod that asks for itself":   {1400, object{"ipam": leasedWith(object{"dhcpFrom": "pod"})}, 1400},
	}
	n := 0
	for name, c := range cases {
		n++
		pod := node.Pod(fmt.Sprint("p", n))
		t.Run(name, func(t *testing.T) {
			l.Server().Embedded().SetScript(dhcpd.Alter(dhcpd.With(26, binary.BigEndian.AppendUint16(nil, c.server)...)))
			conf := network(node, leased(), c.keys)
			result := attach(t, node, conf, pod)
			if got := link(t, pod.Netns, "eth0").Attrs().MTU; got != c.want {
				t.Errorf("the Pod end's MTU is %d, want %d", got, c.want)
			}
			for _, name := range []string{"lan0", result.Interfaces[1].Name} {
				if got := link(t, node.Netns, name).Attrs().MTU; got != 1500 {
					t.Errorf("the MTU of %s is %d, want it left at 1500", name, got)
				}
			}
			if err := node.Check(t.Context(), conf, pod); err != nil {
				t.Errorf("CHECK: %v", err)
			}
			detach(t, node, conf, pod)
		})
	}
}

func TestARouteThatCoversNodeOrServicesIsRefused(t *testing.T) {
	t.Parallel()
	const harmless, services, behindNode = "192.0.2.0/24", "10.0.0.0/8", "172.16.0.0/12"
	const onLAN = "198.18.128.0/17" // whose addresses the node has too
	l := lab.New(t, options(t, lab.Options{
		Server: lab.Embedded, DHCPOptions: map[uint8][]byte{121: classless(harmless, services, behindNode, onLAN)},
	}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	if err := node.AddAddress("lan0", netip.MustParsePrefix("172.17.0.1/16")); err != nil {
		t.Fatal(err)
	}
	node.StartPodland()
	cidrs := object{"serviceCIDRs": []string{"10.96.0.0/12"}}
	cases := map[string]struct {
		top     object
		allow   []string
		refused []string
	}{
		"neither allowed":       {cidrs, nil, []string{services, behindNode}},
		"no Services known":     {object{}, nil, []string{behindNode}},
		"Services allowed":      {cidrs, []string{"10.96.0.0/12"}, []string{behindNode}},
		"the node allowed":      {cidrs, []string{"172.16.0.0/12"}, []string{services}},
		"all of it allowed":     {cidrs, []string{"0.0.0.0/0"}, nil},
		"half of Services only": {cidrs, []string{"10.96.0.0/13", "172.17.0.0/16"}, []string{services}},
	}
	n := 0
	for name, c := range cases {
		n++
		pod := node.Pod(fmt.Sprint("p", n))
		t.Run(name, func(t *testing.T) {
			conf := network(node, leasedWith(object{"allowRoutes": c.allow}), c.top)
			before := len(node.PluginLog())
			result := attach(t, node, conf, pod)
			want := []string{"0.0.0.0/0"}
			for _, dst := range []string{services, behindNode, harmless, onLAN} {
				if !slices.Contains(c.refused, dst) {
					want = append(want, dst)
				}
			}
			if diff := cmp.Diff(slices.Sorted(slices.Values(want)), destinations(t, result, pod)); diff != "" {
				t.Errorf("routes (-want +got):\n%s", diff)
			}
			said := node.PluginLog()[before:]
			for _, dst := range c.refused {
				if !strings.Contains(said, "the route "+dst) || !strings.Contains(said, "allowRoutes") {
					t.Errorf("no warning of %s: %q", dst, said)
				}
			}
			var told []string
			for _, r := range leasesOf(t, node)[0].Refused {
				told = append(told, r.Dst.String())
			}
			if diff := cmp.Diff(c.refused, told); diff != "" {
				t.Errorf("refused routes by podlan leases (-want +got):\n%s", diff)
			}
			detach(t, node, conf, pod)
		})
	}
}

// A foreign main plugin's interface is not ours to change; routes are refused
// all the same.
func TestUnderAnotherMainPluginTheMTUIsItsOwn(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded, MTU: 1400, DHCPOptions: map[uint8][]byte{121: classless("10.0.0.0/8")}}))
	node := l.Node("n1", lab.NodeOptions{})
	node.StartPodland()
	conf := network(node, leased(), object{
		"type": "macvlan", "master": "eth1", "mode": "bridge", "serviceCIDRs": []string{"10.96.0.0/12"},
	})
	pod := node.Pod("p1")
	result := attach(t, node, conf, pod)
	if got := link(t, pod.Netns, "eth0").Attrs().MTU; got != 1500 || len(result.Interfaces) != 1 || result.Interfaces[0].Mtu != 0 && result.Interfaces[0].Mtu != 1500 {
		t.Errorf("the Pod end's MTU is %d, the result's interfaces %v", got, result.Interfaces)
	}
	if diff := cmp.Diff([]string{"0.0.0.0/0"}, destinations(t, result, pod)); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	detach(t, node, conf, pod)
}
