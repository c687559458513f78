package integration_test

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/leaseapi"
)

func extraMAC() net.HardwareAddr { return net.HardwareAddr{0x02, 0xe0, 0, 0, 0, 1} }
func extraIP() netip.Addr        { return netip.MustParseAddr("198.18.99.99") }

// confined are frames that a port sends only if it is opened by the name before
// the colon. Each has its own name in it.
func confined(s *speaker) map[string][]byte {
	virtual := net.HardwareAddr{0, 0, 0x5e, 0, 1, 7}
	group := func(last byte) netip.Addr { return netip.AddrFrom4([4]byte{224, 0, 0, last}) }
	frames := map[string][]byte{
		"dhcpServer: an OFFER":                   dhcpReply(s.mac, s.addr, "dhcpServer: an OFFER"),
		"dhcpClient: a DISCOVER":                 dhcpRequest(s.mac, s.mac, netip.IPv4Unspecified(), "dhcpClient: a DISCOVER"),
		"routerAdvertisement: one":               advertisement(s.mac, "routerAdvertisement: one"),
		"vrrp: an advertisement":                 packet4(virtual, s.addr, group(18), 112, []byte("\x31\x07\x64\x01vrrp: an advertisement")),
		"multicastRouting: an IGMP query":        packet4(s.mac, s.addr, group(1), unix.IPPROTO_IGMP, query("multicastRouting: an IGMP query")),
		"multicastRouting: OSPF":                 packet4(s.mac, s.addr, group(5), 89, []byte("\x02\x01multicastRouting: OSPF")),
		"extraMACs: a datagram":                  datagram(extraMAC(), s.addr, "extraMACs: a datagram"),
		"extraMACs: ARP":                         gratuitous(extraMAC(), s.addr, "extraMACs: ARP"),
		"extraIPs: a datagram":                   datagram(s.mac, extraIP(), "extraIPs: a datagram"),
		"extraIPs: ARP":                          gratuitous(s.mac, extraIP(), "extraIPs: ARP"),
		"nothing: another's MAC":                 datagram(net.HardwareAddr{0x02, 0xba, 0xd0, 0, 0, 1}, s.addr, "nothing: another's MAC"),
		"nothing: another's address":             datagram(s.mac, netip.MustParseAddr("198.18.98.98"), "nothing: another's address"),
		"nothing: a DISCOVER for another client": dhcpRequest(s.mac, net.HardwareAddr{0x02, 0xba, 0xd0, 0, 0, 1}, netip.IPv4Unspecified(), "nothing: a DISCOVER for another client"),
	}
	return frames
}

// openings are confs by the name of what they open.
func openings() map[string]object {
	return map[string]object{
		"strict": {}, "strict by name": {"guard": "strict"}, "an empty object": {"guard": object{}},
		"macspoofchk": {"macspoofchk": true}, "no macspoofchk": {"macspoofchk": false},
		"dhcpServer": {"guard": object{"dhcpServer": true}}, "dhcpClient": {"guard": object{"dhcpClient": true}},
		"routerAdvertisement": {"guard": object{"routerAdvertisement": true}}, "vrrp": {"guard": object{"vrrp": true}},
		"multicastRouting": {"guard": object{"multicastRouting": true}},
		"extraMACs":        {"guard": object{"extraMACs": []string{extraMAC().String()}}},
		"extraIPs":         {"guard": object{"extraIPs": []string{extraIP().String()}}},
		"off":              {"guard": "off"},
	}
}

// One Pod at a time: what one may send moves what bridges know of another's.
func TestEachOpeningOpensWhatItNames(t *testing.T) {
	t.Parallel()
	client, node := lanWithoutDHCP(t)
	for _, name := range slices.Sorted(maps.Keys(openings())) {
		t.Run(name, func(t *testing.T) {
			conf, pod := network(node, hostLocal(), openings()[name]), node.Pod(strings.Map(nameable, name))
			addr := address(t, attach(t, node, conf, pod))
			if err := node.Check(t.Context(), conf, pod); err != nil {
				t.Errorf("CHECK: %v", err)
			}
			s, heard := newSpeaker(t, pod, addr), client.Capture(client.Iface, nil)
			frames := confined(s)
			texts := slices.Sorted(maps.Keys(frames))
			for _, text := range texts {
				s.say(frames[text])
			}
			s.mark(heard)
			want := slices.DeleteFunc(slices.Clone(texts), func(text string) bool {
				return name != "off" && !strings.HasPrefix(text, name+":")
			})
			if diff := cmp.Diff(want, heardAmong(heard.All(), texts)); diff != "" {
				t.Errorf("heard on the LAN (-want +got):\n%s", diff)
			}
			reaches(t, pod, client.Addr.Addr())
			detach(t, node, conf, pod)
		})
	}
}

// A guarded Pod's ADD makes the table that closes ports by their names.
func TestAPodWithoutAGuardIsNoneOfTheGuardsBusiness(t *testing.T) {
	t.Parallel()
	client, node := lanWithoutDHCP(t)
	off, strict := network(node, hostLocal(), object{"guard": "off"}), network(node, hostLocal())
	free, held := node.Pod("off"), node.Pod("strict")
	addr := address(t, attach(t, node, off, free))
	guarded := address(t, attach(t, node, strict, held))
	for _, a := range []netip.Addr{addr, guarded} {
		reaches(t, client, a)
	}
	node.StartPodland()
	if err := node.Check(t.Context(), off, free); err != nil {
		t.Errorf("CHECK: %v", err)
	}
	detach(t, node, strict, held)
	reaches(t, client, addr)
}

// The bridge floods nothing to a guarded port, so that only entries of their own
// bring a port's further MACs their frames.
func TestExtraMACsAndIPsAreReachedFromTheLAN(t *testing.T) {
	t.Parallel()
	client, node := lanWithoutDHCP(t)
	node.StartPodland()
	conf := network(node, hostLocal(), object{"guard": object{
		"extraMACs": []string{extraMAC().String()}, "extraIPs": []string{extraIP().String(), extraIP().Next().String()},
	}})
	pod := node.Pod("p1")
	addr := address(t, attach(t, node, conf, pod))
	// One of the addresses with the port's MAC, the other with the further one.
	if err := pod.AddAddress("eth0", netip.PrefixFrom(extraIP().Next(), 32)); err != nil {
		t.Fatal(err)
	}
	second := addMACVLAN(t, pod, extraMAC())
	if err := pod.AddAddress(second, netip.PrefixFrom(extraIP(), 16)); err != nil {
		t.Fatal(err)
	}
	for _, a := range []netip.Addr{addr, extraIP().Next()} {
		reaches(t, client, a)
	}
	mac, err := client.ARP(t.Context(), client.Iface, extraIP())
	if err != nil || mac.String() != extraMAC().String() {
		t.Fatalf("%s is at %s (%v), want %s", extraIP(), mac, err, extraMAC())
	}
	s, arrived := newRawOn(t, client), pod.Capture(second, nil)
	s.say(datagramTo(extraMAC(), s.mac, client.Addr.Addr(), extraIP(), "to the further MAC"))
	if _, err := arrived.AwaitFrame(t.Context(), has("to the further MAC")); err != nil {
		t.Error(err)
	}
	if err := node.Check(t.Context(), conf, pod); err != nil {
		t.Errorf("CHECK: %v", err)
	}
}

// addMACVLAN gives the Pod a second interface with a MAC of its own on eth0.
func addMACVLAN(t *testing.T, pod *lab.Pod, mac net.HardwareAddr) (name string) {
	t.Helper()
	h, err := pod.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.HardwareAddr = "second", link(t, pod.Netns, "eth0").Attrs().Index, mac
	if err := h.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE}); err != nil {
		t.Fatal(err)
	}
	if err := pod.SetLink(attrs.Name, true); err != nil {
		t.Fatal(err)
	}
	// The one question is to be answered from the one interface.
	for key, value := range map[string]string{"net.ipv4.conf.all.arp_ignore": "1", "net.ipv4.conf.all.arp_announce": "2"} {
		if err := pod.SetSysctl(key, value); err != nil {
			t.Fatal(err)
		}
	}
	return attrs.Name
}

func TestWhatDropsIsShownPortByPortByKind(t *testing.T) {
	t.Parallel()
	client, node := lanWithoutDHCP(t)
	node.StartPodland(lab.PodlandOptions{Args: []string{"--metrics-listen", metricsAddress}})
	slow := network(node, hostLocal(), object{"guard": object{"rates": object{"arp": 1}}})
	strict := network(node, hostLocal())
	loud, quiet := node.Pod("loud"), node.Pod("quiet")
	addr := address(t, attach(t, node, slow, loud, lab.Attachment{Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "shop"}, {"K8S_POD_NAME", "web-0"}}}))
	address(t, attach(t, node, strict, quiet))
	s, heard := newSpeaker(t, loud, addr), client.Capture(client.Iface, nil)
	frames := confined(s)
	s.say(frames["nothing: another's MAC"], frames["nothing: another's MAC"], frames["nothing: another's address"], frames["dhcpServer: an OFFER"])
	for range 20 { // one a second, one at once
		s.say(gratuitous(s.mac, addr, "again"))
	}
	s.mark(heard)

	guard := guardOf(t, node)
	byPod := map[string]leaseapi.GuardedPort{}
	for _, p := range guard.Ports {
		byPod[p.ContainerID] = p
	}
	ofLoud, ofQuiet := byPod[loud.ContainerID], byPod[quiet.ContainerID]
	for kind, n := range map[string]uint64{"wrong_mac": 2, "wrong_address": 1, "dhcp": 1} {
		if ofLoud.Dropped[kind] != n || guard.Dropped[kind] != n {
			t.Errorf("%s: %d of the port, %d in all, want %d", kind, ofLoud.Dropped[kind], guard.Dropped[kind], n)
		}
	}
	if n := ofLoud.Dropped["arp_rate"]; n == 0 || n > 20 {
		t.Errorf("%d of 20 at once were above the rate", n)
	}
	if len(ofQuiet.Dropped) > 0 {
		t.Errorf("of a Pod that said nothing: %v", ofQuiet.Dropped)
	}
	if diff := cmp.Diff([]string{"rates"}, ofLoud.Opened); diff != "" {
		t.Errorf("opened (-want +got):\n%s", diff)
	}
	table := podlan(t, node, "guard")
	for _, want := range []string{"POD/CONTAINER", addr.String(), ofLoud.Port, "rates", "wrong_mac 2", ofQuiet.Port} {
		if !strings.Contains(table, want) {
			t.Errorf("the table does not show %q:\n%s", want, table)
		}
	}
	if metrics := metricsOf(t, node); !strings.Contains(metrics, `podlan_guard_dropped_total{kind="wrong_mac"} 2`) {
		t.Errorf("not among the metrics:\n%s", metrics)
	}
}

func TestABadGuardIsRefused(t *testing.T) {
	t.Parallel()
	_, node := lanWithoutDHCP(t)
	before := node.Snapshot()
	for name, c := range map[string]struct {
		guard any
		words []string
	}{
		"an unknown word":     {"loose", []string{`"guard"`, "loose", "strict, off"}},
		"an unknown name":     {object{"stp": true}, []string{"stp"}},
		"a group's MAC":       {object{"extraMACs": []string{"01:00:5e:00:00:01"}}, []string{"extraMACs", "01:00:5e"}},
		"an address of all":   {object{"extraIPs": []string{"224.0.0.1"}}, []string{"extraIPs", "224.0.0.1"}},
		"a rate that is text": {object{"rates": object{"arp": "fast"}}, []string{"arp", "fast"}},
	} {
		_, err := node.Add(t.Context(), network(node, hostLocal(), object{"guard": c.guard}), node.Pod(strings.Map(nameable, name)))
		says(t, err, types.ErrInvalidNetworkConfig, c.words...)
	}
	asBefore(t, node, before)
}

// A kernel without nftables has no such netlink family. A filter of system calls
// stands in for it.
func TestWithoutNftablesOnlyAnUnguardedPodStarts(t *testing.T) {
	t.Parallel()
	client, node := lanWithoutDHCP(t)
	before := node.Snapshot()
	addr := netip.MustParseAddr("198.18.97.97")
	call := func(verb, guard string, pod *lab.Pod) (out string, err error) {
		conf := network(node, object{"type": "static", "addresses": []object{{"address": addr.String() + "/16"}}}, object{"guard": guard})
		cmd, err := node.PluginCmd(t.Context(), verb, conf, pod)
		if err != nil {
			t.Fatal(err)
		}
		err = withoutNftables(node, cmd.Cmd.Run)
		return cmd.Out.String(), err
	}
	strict, off := node.Pod("strict"), node.Pod("off")
	out, err := call("ADD", "strict", strict)
	if err == nil || !strings.Contains(out, `"code": 104`) || !strings.Contains(out, "CONFIG_NF_TABLES") {
		t.Errorf("strict: %v, %s", err, out)
	}
	if out, err := call("DEL", "strict", strict); err != nil {
		t.Errorf("its DEL: %v, %s", err, out)
	}
	if out, err := call("ADD", "off", off); err != nil {
		t.Fatalf("off: %v, %s", err, out)
	}
	reaches(t, client, addr)
	if out, err := call("DEL", "off", off); err != nil {
		t.Errorf("off, DEL: %v, %s", err, out)
	}
	asBefore(t, node, before)
	files, err := node.StateFiles()
	if err != nil || slices.ContainsFunc(files, func(f string) bool { return strings.HasPrefix(f, "attachments") }) {
		t.Errorf("left: %v, %v", files, err)
	}
}

// withoutNftables runs fn in the node's namespace, on a thread that no socket of
// nftables is given to, nor to the programs that it starts.
func withoutNftables(node *lab.Node, fn func() error) (err error) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err = unix.Setns(node.FD(), unix.CLONE_NEWNET); err == nil {
			err = denySockets(unix.NETLINK_NETFILTER)
		}
		if err == nil {
			err = fn()
		}
	}()
	<-ended
	return err
}

// denySockets has socket(2) of a netlink family fail as where the kernel has
// none, by a filter (seccomp(2)) on the thread and what it starts.
func denySockets(family uint32) error {
	const (
		load    = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		give    = unix.BPF_RET | unix.BPF_K
		allow   = 0x7fff0000 // SECCOMP_RET_ALLOW
		failing = 0x00050000 // SECCOMP_RET_ERRNO
		number  = 0          // struct seccomp_data
		args    = 16
	)
	filter := []unix.SockFilter{
		{Code: load, K: number},
		{Code: equal, K: unix.SYS_SOCKET, Jf: 5},
		{Code: load, K: args},
		{Code: equal, K: unix.AF_NETLINK, Jf: 3},
		{Code: load, K: args + 2*8},
		{Code: equal, K: family, Jf: 1},
		{Code: give, K: failing | uint32(unix.EPROTONOSUPPORT)},
		{Code: give, K: allow},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	const modeFilter = 2 // SECCOMP_MODE_FILTER
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, modeFilter, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return fmt.Errorf("filter of system calls: %w", err)
	}
	return nil
}
