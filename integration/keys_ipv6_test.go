package integration_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab"
)

const lan6 = "2001:db8:18::/64"

// onLAN6 gives a host an IPv6 address of the LAN that is there at once.
func onLAN6(t *testing.T, host *lab.Host) netip.Addr {
	t.Helper()
	h, err := host.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr("2001:db8:18::c/64")
	if err != nil {
		t.Fatal(err)
	}
	addr.Flags = unix.IFA_F_NODAD
	if err := h.AddrAdd(link(t, host.Netns, host.Iface), addr); err != nil {
		t.Fatal(err)
	}
	return netip.MustParseAddr("2001:db8:18::c")
}

func TestKeyIPAMOfBothFamiliesMakesANeighbourInBoth(t *testing.T) {
	t.Parallel()
	v6 := []object{{"subnet": lan6, "rangeStart": "2001:db8:18::100", "gateway": "2001:db8:18::c"}}
	v4 := []object{{"subnet": "198.18.0.0/16", "rangeStart": "198.18.77.1"}}
	for name, ranges := range map[string][][]object{"IPv6": {v6}, "dual-stack": {v4, v6}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t, options(t, lab.Options{Server: lab.None}))
			client := l.Host("client")
			gateway := onLAN6(t, client)
			node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
			before := node.Snapshot()
			conf := network(node, object{"type": "host-local", "ranges": ranges, "routes": []object{{"dst": "::/0"}}})
			first, second := node.Pod("p1"), node.Pod("p2")
			attach(t, node, conf, first)
			attach(t, node, conf, second)
			one, two := netip.MustParseAddr("2001:db8:18::100"), netip.MustParseAddr("2001:db8:18::101")
			sees(t, first.Netns, client.Netns, gateway, one)
			sees(t, second.Netns, first.Netns, one, two)
			if len(ranges) == 2 {
				reaches(t, client, netip.MustParseAddr("198.18.77.1"))
			}
			if !hasDefault6(t, first, gateway) {
				t.Errorf("no default route by %s: %v", gateway, routesOf(t, first.Netns, "eth0"))
			}
			if err := node.Check(t.Context(), conf, first); err != nil {
				t.Errorf("CHECK: %v", err)
			}
			detach(t, node, conf, first)
			detach(t, node, conf, second)
			asBefore(t, node, before)
		})
	}
}

// sees fails the test unless a connection comes from that address.
func sees(t *testing.T, from, to *lab.Netns, addr, want netip.Addr) {
	t.Helper()
	if peer := dialled(t, from, to, addr); peer != want {
		t.Errorf("%s is seen as %s, want %s", from.Name(), peer, want)
	}
}

func hasDefault6(t *testing.T, pod *lab.Pod, gw netip.Addr) bool {
	t.Helper()
	for _, r := range routesOf(t, pod.Netns, "eth0") {
		if ones := r.Dst; (ones == nil || ones.String() == "::/0") && r.Gw.Equal(gw.AsSlice()) {
			return true
		}
	}
	return false
}

func TestKeyIsDefaultGatewayServesIPv6(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.None}))
	node := l.Node("n1", lab.NodeOptions{})
	before := node.Snapshot()
	conf := node.Conf(object{
		"cniVersion": "1.1.0", "name": "pods", "type": "podlan-bridge", "isDefaultGateway": true,
		"ipam": object{"type": "host-local", "subnet": "2001:db8:22::/64"},
	})
	pod := node.Pod("p1")
	attach(t, node, conf, pod)
	gateway := netip.MustParseAddr("2001:db8:22::1")
	sees(t, pod.Netns, node.Netns, gateway, netip.MustParseAddr("2001:db8:22::2"))
	if !hasDefault6(t, pod, gateway) {
		t.Errorf("no default route by %s: %v", gateway, routesOf(t, pod.Netns, "eth0"))
	}
	if err := node.Check(t.Context(), conf, pod); err != nil {
		t.Errorf("CHECK: %v", err)
	}
	detach(t, node, conf, pod)
	asBefore(t, node, before)
}

// Without detection an address is there at once; with it, it is tentative
// first.
func TestKeyEnabledadDecidesWhetherAddressesAreChecked(t *testing.T) {
	t.Parallel()
	for _, enabled := range []bool{false, true} {
		t.Run(fmt.Sprint(enabled), func(t *testing.T) {
			t.Parallel()
			l := lab.New(t, options(t, lab.Options{Server: lab.None}))
			node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
			v6 := object{"type": "host-local", "subnet": lan6}
			for name, ipam := range map[string]object{"v4": hostLocal(), "v6": v6} {
				pod := node.Pod(name)
				attach(t, node, network(node, ipam, object{"enabledad": enabled}), pod)
				want := map[bool]string{false: "0", true: "1"}[enabled]
				if got := sysctl(t, pod.Netns, "net/ipv6/conf/eth0/accept_dad"); got != want {
					t.Errorf("accept_dad of the %s Pod is %s, want %s", name, got, want)
				}
				if name == "v6" && nodad(t, pod) == enabled {
					t.Errorf("the address bears the flag nodad: %t, want %t", !enabled, enabled)
				}
			}
		})
	}
}

func nodad(t *testing.T, pod *lab.Pod) bool {
	t.Helper()
	h, err := pod.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := h.AddrList(link(t, pod.Netns, "eth0"), netlink.FAMILY_V6)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if !a.IP.IsLinkLocalUnicast() {
			return a.Flags&unix.IFA_F_NODAD != 0
		}
	}
	t.Fatal("no IPv6 address in the Pod")
	return false
}

func TestKeyIPAMWithoutIPv6MeansNoRouterAdvertisementIsTaken(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.None}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	for name, ipam := range map[string]object{"v4": hostLocal(), "layer2": nil} {
		pod := node.Pod(name)
		attach(t, node, network(node, ipam), pod)
		for _, key := range []string{"accept_ra", "autoconf"} {
			if got := sysctl(t, pod.Netns, "net/ipv6/conf/eth0/"+key); got != "0" {
				t.Errorf("%s of the %s Pod is %s, want 0", key, name, got)
			}
		}
	}
}

func TestKeyEnabledadFailsTheADDOfAnAddressThatIsTaken(t *testing.T) {
	t.Parallel()
	ours, reference := twoSides(t, lab.Options{}, lab.NodeOptions{Bridge: "lan0"})
	for _, s := range []side{reference, ours} {
		client := s.lab.Host("client")
		taken := onLAN6(t, client)
		before := s.node.Snapshot()
		conf := func(enabled bool) []byte {
			return s.conf(object{"bridge": "lan0", "enabledad": enabled, "ipam": object{"type": "static", "addresses": []object{
				{"address": taken.String() + "/64", "gateway": "2001:db8:18::1"},
			}}})
		}
		if _, err := s.node.Add(t.Context(), conf(true), s.pod); err == nil {
			t.Errorf("%s: ADD of %s, which a host has, succeeds with enabledad", s.plugin, taken)
		} else if s.plugin == "podlan-bridge" {
			says(t, err, types.ErrTryAgainLater, taken.String(), "is taken", "enabledad")
			asBefore(t, s.node, before)
		}
		attach(t, s.node, conf(false), s.node.Pod("unchecked"))
	}
}
