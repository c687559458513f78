package integration_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/dhcpd"
	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/leaseapi"
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
		if r.Gw.To4() != nil {
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

func TestKeyHostnameTellsTheServerThePodsName(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	web := lab.Attachment{Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "shop"}, {"K8S_POD_NAME", "web-0"}}}
	cases := map[string]struct {
		keys object
		at   lab.Attachment
		want map[uint8]string
	}{
		"off":     {object{}, web, map[uint8]string{12: "", 81: ""}},
		"name":    {object{"hostname": "name"}, web, map[uint8]string{12: "web-0", 81: ""}},
		"partial": {object{"hostname": "fqdn"}, web, map[uint8]string{12: "", 81: "\x05\x00\x00\x05web-0\x04shop"}},
		"fqdn":    {object{"hostname": "fqdn", "hostnameDomain": "lan.example"}, web, map[uint8]string{12: "", 81: "\x05\x00\x00\x05web-0\x04shop\x03lan\x07example\x00"}},
		"no-pod":  {object{"hostname": "name"}, lab.Attachment{}, map[uint8]string{12: "", 81: ""}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			heard := listen(l.Server().Embedded())
			conf := network(node, leasedWith(c.keys))
			pod := node.Pod(name)
			attach(t, node, conf, pod, c.at)
			for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest} {
				if diff := cmp.Diff(c.want, sent(heard(), kind, c.want)); diff != "" {
					t.Errorf("options of %s (-want +got):\n%s", kind, diff)
				}
			}
			detach(t, node, conf, pod, c.at)
		})
	}
}

func TestKeyServersLimitsWhoseOffersAreTaken(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	other := otherServer(t, l)
	// The other's OFFER comes first.
	first := make(chan struct{})
	l.Server().Embedded().SetScript(dhcpd.Hold(first))
	go func() {
		_ = other.Await(t.Context(), func(log []dhcpd.Entry) bool { return slices.ContainsFunc(log, isOffer) })
		close(first)
	}()
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	wanted := l.Server().Host.Addr.Addr()
	conf := network(node, leasedWith(object{"servers": []string{wanted.String()}}))
	pod := node.Pod("p1")
	addr := address(t, attach(t, node, conf, pod))
	if got := leasesOf(t, node)[0].Server; got != wanted || otherPool().Contains(addr) {
		t.Errorf("leased %s from %s, want %s", addr, got, wanted)
	}
	if leases := other.ActiveLeases(); len(leases) != 0 {
		t.Errorf("the other server holds %v", leases)
	}
	detach(t, node, conf, pod)

	// Without the key it is as good as any.
	l.Server().Embedded().SetScript(dhcpd.Silent())
	if addr := address(t, attach(t, node, network(node, leased()), node.Pod("p2"))); !otherPool().Contains(addr) {
		t.Errorf("leased %s, want one of the other server's", addr)
	}
}

func isOffer(e dhcpd.Entry) bool { return e.Sent && e.Type == dhcpv4.MessageTypeOffer }

func otherPool() netip.Prefix { return netip.MustParsePrefix("198.18.100.0/24") }

// otherServer is a second server on the LAN, with a pool of its own.
func otherServer(t *testing.T, l *lab.Lab) *dhcpd.Server {
	t.Helper()
	host := l.Host("other")
	server, err := dhcpd.New(dhcpd.Config{
		In: host.Do, Interface: host.Iface, Address: host.Addr, Lease: time.Hour, NotAuthoritative: true,
		First: otherPool().Addr().Next(), Last: netip.MustParseAddr("198.18.100.99"),
	})
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server
}

func TestKeyRapidCommitLeasesInTwoMessages(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	server := l.Server().Embedded()
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	for name, rapid := range map[string]bool{"asked": true, "unasked": false} {
		t.Run(name, func(t *testing.T) {
			messages := func() []dhcpd.Entry { return server.Received(dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest) }
			before := len(messages())
			// RFC 4039: an ACK to the DISCOVER, which says so.
			server.SetScript(func(req dhcpd.Request) ([]dhcpd.Reply, bool) {
				if !req.Message.Options.Has(dhcpv4.OptionRapidCommit) {
					return nil, false
				}
				return dhcpd.Alter(dhcpd.As(dhcpv4.MessageTypeAck), dhcpd.With(80))(req)
			})
			conf := network(node, leasedWith(object{"rapidCommit": rapid}))
			pod := node.Pod(name)
			attach(t, node, conf, pod)
			requested := slices.ContainsFunc(messages()[before:], func(e dhcpd.Entry) bool { return e.Type == dhcpv4.MessageTypeRequest })
			if requested == rapid {
				t.Errorf("a DHCPREQUEST: %t, with rapidCommit: %t", requested, rapid)
			}
			if state := leasesOf(t, node)[0].State; state != leaseapi.StateBound {
				t.Errorf("the lease is %s", state)
			}
			detach(t, node, conf, pod)
		})
	}
}

// What podland takes a lease up by when its file is lost must be what it was
// asked for.
func TestTheRecordHasTheRequestThatPodlandGot(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	at := lab.Attachment{Args: [][2]string{
		{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "shop"}, {"K8S_POD_NAME", "web-0"}, {"K8S_POD_UID", "uid-1"},
	}}
	for name, keys := range map[string]object{
		"uplink": {"hostname": "name", "pace": 400, "options": object{"mtu": "ignore"}, "servers": []string{"198.18.0.1"}},
		"pod":    {"dhcpFrom": "pod", "provide": []object{{"option": "61", "value": "\x01me"}}},
	} {
		t.Run(name, func(t *testing.T) {
			conf := network(node, leasedWith(keys), object{"serviceCIDRs": []string{"10.96.0.0/12"}})
			pod := node.Pod(name)
			attach(t, node, conf, pod, at)
			var record struct{ Lease json.RawMessage }
			var lease struct{ Request json.RawMessage }
			readOnly(t, filepath.Join(node.StateDir(), "attachments"), &record)
			readOnly(t, filepath.Join(node.StateDir(), "leases"), &lease)
			if diff := cmp.Diff(indented(t, lease.Request), indented(t, record.Lease)); diff != "" {
				t.Errorf("podland was asked (-), on record is (+):\n%s", diff)
			}
			detach(t, node, conf, pod, at)
		})
	}
}

// readOnly reads the only JSON file of a folder.
func readOnly(t *testing.T, dir string, v any) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files in %s: %v, %v; want one", dir, files, err)
	}
	data, err := os.ReadFile(files[0])
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func indented(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestKeyWhenLostReplaceNeedsPodAccess(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland(lab.PodlandOptions{Unprivileged: true})
	before := node.Snapshot()
	_, err := node.Add(t.Context(), network(node, leasedWith(object{"whenLost": "replace"})), node.Pod("p1"))
	says(t, err, types.ErrInvalidNetworkConfig, "whenLost: replace", "pod-access.conf")
	asBefore(t, node, before)
}
