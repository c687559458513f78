package integration_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/dhcpd"
	"github.com/podlan/podlan/integration/lab"
)

// listen keeps the clients' messages as they came.
func listen(server *dhcpd.Server) func() []*dhcpv4.DHCPv4 {
	var mu sync.Mutex
	var heard []*dhcpv4.DHCPv4
	server.SetScript(func(req dhcpd.Request) ([]dhcpd.Reply, bool) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, req.Message)
		return nil, false
	})
	return func() []*dhcpv4.DHCPv4 {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(heard)
	}
}

// withDHCP is an ipam object of the side: podlan-dhcp, or the reference's dhcp
// with its daemon.
func (s side) withDHCP(keys object) object {
	ipam := leased()
	if s.plugin == "podlan-bridge" {
		s.node.StartPodland()
	} else {
		ipam = refDHCP(s.t, s.node)
	}
	maps.Copy(ipam, keys)
	return ipam
}

func TestKeyProvideIsWhatTheServerSees(t *testing.T) {
	t.Parallel()
	ours, reference := twoSides(t, lab.Options{Server: lab.Embedded}, lab.NodeOptions{Bridge: "lan0"})
	provide := []object{
		{"option": "host-name", "fromArg": "K8S_POD_NAME", "value": "nobody"},
		{"option": "vendor-class-identifier", "value": "podlan test"},
		{"option": "dhcp-client-identifier", "value": "\x01client-7"},
		{"option": "user-class", "fromArg": "ABSENT", "value": "class a"},
		{"option": "224", "value": "site's own"},
		{"option": "225", "fromArg": "ABSENT"},
	}
	want := map[uint8]string{12: "web-0", 60: "podlan test", 61: "\x01client-7", 77: "class a", 224: "site's own", 225: ""}
	at := lab.Attachment{Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAME", "web-0"}}}
	for _, s := range []side{reference, ours} {
		heard := listen(s.lab.Server().Embedded())
		conf := s.conf(object{"bridge": "lan0", "ipam": s.withDHCP(object{"provide": provide})})
		attach(t, s.node, conf, s.pod, at)
		for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest} {
			if diff := cmp.Diff(want, sent(heard(), kind, want)); diff != "" {
				t.Errorf("%s: options of %s (-want +got):\n%s", s.plugin, kind, diff)
			}
		}
	}
	conf := ours.conf(object{"bridge": "lan0", "ipam": object{
		"type": "podlan-dhcp", "daemonSocketPath": ours.node.Socket(), "provide": provide,
	}})
	heard := listen(ours.lab.Server().Embedded())
	detach(t, ours.node, conf, ours.pod, at)
	ours.lab.Server().AwaitReleases(1)
	if id := sent(heard(), dhcpv4.MessageTypeRelease, want)[61]; id != want[61] {
		t.Errorf("released as %q, leased as %q", id, want[61]) // the reference says another here
	}
}

// sent are options of the first message of a kind.
func sent(heard []*dhcpv4.DHCPv4, kind dhcpv4.MessageType, options map[uint8]string) map[uint8]string {
	for _, m := range heard {
		if m.MessageType() != kind {
			continue
		}
		got := map[uint8]string{}
		for code := range options {
			got[code] = string(m.Options.Get(dhcpv4.GenericOptionCode(code)))
		}
		return got
	}
	return nil
}

func TestKeyRequestIsOption55(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		request []object
		want    []byte
		both    []byte // the reference's have to be among ours
	}{
		"none":             {nil, []byte{121, 1, 3, 33, 6, 15, 119, 26}, []byte{1, 3}},
		"one more":         {[]object{{"option": "42"}}, []byte{42, 121, 1, 3, 33, 6, 15, 119, 26}, []byte{1, 3, 42}},
		"one twice":        {[]object{{"option": "routers"}, {"option": "3"}}, []byte{3, 121, 1, 33, 6, 15, 119, 26}, []byte{1, 3}},
		"without defaults": {[]object{{"option": "subnet-mask", "skipDefault": true}, {"option": "routers"}}, []byte{1, 3}, []byte{1, 3}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, reference := twoSides(t, lab.Options{Server: lab.Embedded}, lab.NodeOptions{Bridge: "lan0"})
			for _, s := range []side{reference, ours} {
				heard := listen(s.lab.Server().Embedded())
				attach(t, s.node, s.conf(object{"bridge": "lan0", "ipam": s.withDHCP(object{"request": c.request})}), s.pod)
				asked := []byte(sent(heard(), dhcpv4.MessageTypeDiscover, map[uint8]string{55: ""})[55])
				if s.plugin == "podlan-bridge" && !slices.Equal(asked, c.want) {
					t.Errorf("asked for %v, want %v", asked, c.want)
				}
				for _, code := range c.both {
					if !slices.Contains(asked, code) {
						t.Errorf("%s: asked for %v, want %d among them", s.plugin, asked, code)
					}
				}
			}
		})
	}
}

func TestKeyPriorityIsEveryRoutesMetric(t *testing.T) {
	t.Parallel()
	ours, reference := twoSides(t, lab.Options{Server: lab.Embedded}, lab.NodeOptions{Bridge: "lan0"})
	var saw [2]seen
	for i, s := range []side{reference, ours} {
		saw[i] = s.attach(object{"bridge": "lan0", "ipam": s.withDHCP(object{"priority": 50})})
	}
	alike(t, saw[0].Pod.Routes, saw[1].Pod.Routes)
	if want := "0.0.0.0/0 via 198.18.0.1 scope universe metric 50"; !slices.Contains(saw[1].Pod.Routes, want) {
		t.Errorf("no %q among %v", want, saw[1].Pod.Routes)
	}
}

func TestKeyIPAMsRoutesAreTheServers(t *testing.T) {
	t.Parallel()
	// RFC 3442: width, significant octets, router.
	classless := []byte{0, 198, 18, 0, 9, 24, 192, 0, 2, 198, 18, 0, 8}
	onLink := append([]byte{24, 203, 0, 113, 0, 0, 0, 0}, classless...)
	static := []byte{192, 0, 2, 0, 198, 18, 0, 8} // RFC 2132 §5.8: destination, router
	const router = "0.0.0.0/0 via 198.18.0.1 scope universe metric 0"
	const link, by8 = "198.18.0.0/16 via <nil> scope link metric 0", "192.0.2.0/24 via 198.18.0.8 scope universe metric 0"
	const by9 = "0.0.0.0/0 via 198.18.0.9 scope universe metric 0"
	cases := map[string]struct {
		options  map[uint8][]byte
		noRouter bool
		want     []string
		differs  bool // from the reference
	}{
		"option 3":           {nil, false, []string{router, link}, false},
		"none":               {nil, true, []string{link}, false},
		"option 33 beside 3": {map[uint8][]byte{33: static}, false, []string{router, by8, link}, false},
		"option 121 wins":    {map[uint8][]byte{33: {203, 0, 113, 0, 198, 18, 0, 7}, 121: classless}, false, []string{by9, by8, link}, false},
		// The reference makes a route by the router 0.0.0.0.
		"option 121, on the link": {map[uint8][]byte{121: onLink}, false, []string{by9, by8, link, "203.0.113.0/24 via <nil> scope link metric 0"}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, reference := twoSides(t, lab.Options{Server: lab.Embedded, DHCPOptions: c.options, NoRouter: c.noRouter}, lab.NodeOptions{Bridge: "lan0"})
			request := []object{{"option": "121"}, {"option": "33"}, {"option": "3"}, {"option": "1"}}
			keys := object{"bridge": "lan0", "ipam": ours.withDHCP(object{"request": request})}
			saw := ours.attach(keys)
			if got := slices.Sorted(slices.Values(c.want)); !slices.Equal(saw.Pod.Routes, got) {
				t.Errorf("routes in the Pod (-want +got):\n%s", cmp.Diff(got, saw.Pod.Routes))
			}
			if err := ours.node.Check(t.Context(), ours.conf(keys), ours.pod); err != nil {
				t.Errorf("CHECK: %v", err)
			}
			if !c.differs {
				alike(t, reference.attach(object{"bridge": "lan0", "ipam": reference.withDHCP(object{"request": request})}).Pod, saw.Pod)
			}
		})
	}
}

// The reference returns none of it.
func TestKeyIPAMsNamesAreTheServersUnlessTheConfSaysOthers(t *testing.T) {
	t.Parallel()
	search := []byte("\x04corp\x07example\x00\x03lan\xc0\x05") // RFC 3397, compressed
	l := lab.New(t, options(t, lab.Options{
		Server: lab.Embedded, Domain: "lan.example", DHCPOptions: map[uint8][]byte{119: search},
		DNS: []netip.Addr{netip.MustParseAddr("198.18.0.53"), netip.MustParseAddr("198.18.0.54")},
	}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	servers := types.DNS{
		Nameservers: []string{"198.18.0.53", "198.18.0.54"}, Domain: "lan.example", Search: []string{"corp.example", "lan.example"},
	}
	if diff := cmp.Diff(servers, attach(t, node, network(node, leased()), node.Pod("p1")).DNS); diff != "" {
		t.Errorf("names by the server (-want +got):\n%s", diff)
	}
	own := object{"dns": object{"nameservers": []string{"192.0.2.53"}}}
	if diff := cmp.Diff(types.DNS{Nameservers: []string{"192.0.2.53"}}, attach(t, node, network(node, leased(), own), node.Pod("p2")).DNS); diff != "" {
		t.Errorf("names by the conf (-want +got):\n%s", diff)
	}
}

func TestKeyBudgetEndsAnADDThatNobodyAnswers(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	l.Server().Embedded().SetScript(dhcpd.Silent())
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	before := node.Snapshot()
	conf := network(node, leased(), object{"budget": "10s"})
	_, err := node.Add(t.Context(), conf, node.Pod("p1"))
	says(t, err, types.ErrTryAgainLater, "no DHCPOFFER", "eth1")
	asBefore(t, node, before)
	pod := node.Pod("p2")
	for _, bad := range []any{"999ms", "10m1s", "soon", "30", 30, "-1s"} {
		_, err := node.Add(t.Context(), network(node, leased(), object{"budget": bad}), pod)
		says(t, err, types.ErrInvalidNetworkConfig, "budget", fmt.Sprint(bad))
	}
}
