package integration_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab"
)

func TestKeyForceAddressReplacesWhatElseIsRefused(t *testing.T) {
	t.Parallel()
	const gateway, gateway6 = "10.22.0.1/16", "2001:db8:22::1/64"
	v6 := object{"type": "host-local", "subnet": "2001:db8:22::/64"}
	cases := map[string]struct {
		bears   string
		ipam    object
		refused bool
		forced  []string // what the bridge bears in the end
	}{
		"another IPv4 address":     {"192.0.2.9/24", podNet(), true, []string{gateway}},
		"the gateway's, shorter":   {"10.22.0.1/24", podNet(), true, []string{gateway}},
		"the gateway's":            {gateway, podNet(), false, []string{gateway}},
		"IPv6 that overlaps":       {"2001:db8:22::9/64", v6, true, []string{gateway6}},
		"IPv6 of another prefix":   {"2001:db8:9::9/64", v6, false, []string{gateway6, "2001:db8:9::9/64"}},
		"an address of the other ": {"192.0.2.9/24", v6, false, []string{"192.0.2.9/24", gateway6}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, reference := twoSides(t, lab.Options{}, lab.NodeOptions{Bridge: "lan0", NoAddress: true})
			for _, s := range []side{reference, ours} {
				if err := s.node.AddAddress("lan0", netip.MustParsePrefix(c.bears)); err != nil {
					t.Fatal(err)
				}
				keys := object{"bridge": "lan0", "isGateway": true, "ipam": c.ipam}
				_, err := s.node.Add(t.Context(), s.conf(keys), s.pod)
				if (err != nil) != c.refused {
					t.Errorf("%s without forceAddress: %v; refused: want %t", s.plugin, err, c.refused)
				}
				if c.refused && s.plugin == "podlan-bridge" {
					says(t, err, types.ErrInvalidNetworkConfig, "isGateway", "forceAddress", c.bears, "lan0")
					if bears := s.node.Snapshot().Links["lan0"].Addresses; !slices.Equal(bears, []string{c.bears}) {
						t.Errorf("refused, and the bridge bears %v", bears)
					}
				}
				keys["forceAddress"] = true
				forced := side{t, s.lab, s.node, s.node.Pod("forced"), s.plugin}
				if saw := forced.attach(keys); !slices.Equal(saw.Bridge.Addresses, c.forced) {
					t.Errorf("%s: the bridge bears %v, want %v", s.plugin, saw.Bridge.Addresses, c.forced)
				}
			}
		})
	}
}

// A gateway whose MAC changes with the Pods that come and go is lost to those
// that stay. The reference pins it with the address.
func TestKeyIsGatewayPinsTheBridgesMAC(t *testing.T) {
	t.Parallel()
	ours, reference := twoSides(t, lab.Options{}, lab.NodeOptions{Bridge: "pods0", NoUplink: true, NoAddress: true})
	keys := object{"bridge": "pods0", "isGateway": true, "ipam": podNet()}
	for _, s := range []side{reference, ours} {
		result := attach(t, s.node, s.conf(keys), s.pod)
		mac := link(t, s.node.Netns, "pods0").Attrs().HardwareAddr.String()
		if result.Interfaces[0].Mac != mac {
			t.Errorf("%s: the bridge's MAC is %s, the result says %s", s.plugin, mac, result.Interfaces[0].Mac)
		}
		// Each is lower than those before, which is what a bridge takes.
		for _, digit := range []string{"3", "2"} {
			at := lab.Attachment{Args: [][2]string{{"IgnoreUnknown", "1"}, {"MAC", "02:00:00:00:00:0" + digit}}}
			attach(t, s.node, s.conf(keys), s.node.Pod("low"+digit), at)
		}
		detach(t, s.node, s.conf(keys), s.pod)
		if now := link(t, s.node.Netns, "pods0").Attrs().HardwareAddr.String(); now != mac {
			t.Errorf("%s: the bridge's MAC was %s and is %s", s.plugin, mac, now)
		}
	}
}

func TestKeyPromiscModeOutlivesACaptureThatWasThereBefore(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.None}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	end := capturePromiscuously(t, node, "lan0")
	attach(t, node, network(node, hostLocal(), object{"promiscMode": true}), node.Pod("p1"))
	end()
	if flags := link(t, node.Netns, "lan0").Attrs().RawFlags; flags&unix.IFF_PROMISC == 0 {
		t.Errorf("the bridge is not promiscuous: flags %#x", flags)
	}
}

// capturePromiscuously does what tcpdump does to an interface.
func capturePromiscuously(t *testing.T, node *lab.Node, name string) (end func()) {
	t.Helper()
	var fd int
	err := node.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	wish := unix.PacketMreq{Ifindex: int32(link(t, node.Netns, name).Attrs().Index), Type: unix.PACKET_MR_PROMISC}
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &wish); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Close(fd); err != nil {
			t.Fatal(err)
		}
	}
}

// The reference makes every port, and with the lowest of them the bridge, as
// small as the conf says.
func TestKeyMTUIsThePodEndsAlone(t *testing.T) {
	t.Parallel()
	ours, reference := twoSides(t, lab.Options{}, lab.NodeOptions{Bridge: "lan0", MTU: 9000})
	keys := object{"bridge": "lan0", "mtu": 1400, "ipam": hostLocal()}
	theirs, saw := reference.attach(keys), ours.attach(keys)
	if saw.Pod.MTU != 1400 || theirs.Pod.MTU != 1400 {
		t.Errorf("MTU in the Pod %d, in the reference's %d, want 1400", saw.Pod.MTU, theirs.Pod.MTU)
	}
	if saw.Bridge.MTU != 9000 {
		t.Errorf("the bridge's MTU is %d, want its own 9000", saw.Bridge.MTU)
	}
	without := side{t, ours.lab, ours.node, ours.node.Pod("p2"), ours.plugin}
	if saw := without.attach(object{"bridge": "lan0", "ipam": hostLocal()}); saw.Pod.MTU != 9000 {
		t.Errorf("without `mtu` the Pod's is %d, want the bridge's 9000", saw.Pod.MTU)
	}
}

func TestKeyBridgeMadeWithoutUplinkGoesWithItsLastPod(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.None}))
	node := l.Node("n1", lab.NodeOptions{})
	before := node.Snapshot()
	conf := node.Conf(object{"cniVersion": "1.1.0", "name": "pods", "type": "podlan-bridge", "isGateway": true, "ipam": podNet()})
	first, second := node.Pod("p1"), node.Pod("p2")
	addr := address(t, attach(t, node, conf, first))
	other := address(t, attach(t, node, conf, second))
	reaches(t, first, other)
	reaches(t, node, addr)
	reaches(t, first, netip.MustParseAddr("10.22.0.1"))
	mac := link(t, node.Netns, "cni0").Attrs().HardwareAddr

	detach(t, node, conf, first)
	reaches(t, node, other)
	if now := link(t, node.Netns, "cni0").Attrs().HardwareAddr; !slices.Equal(now, mac) {
		t.Errorf("the bridge's MAC was %s and is %s", mac, now)
	}
	detach(t, node, conf, second)
	asBefore(t, node, before)
}

func TestKeyPreserveDefaultVlanChangesNothingWithoutAVLAN(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.None}))
	client := l.Host("client")
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	for name, preserve := range map[string]bool{"preserved": true, "not-preserved": false} {
		pod := node.Pod(name)
		conf := network(node, hostLocal(), object{"preserveDefaultVlan": preserve})
		reaches(t, client, address(t, attach(t, node, conf, pod)))
		detach(t, node, conf, pod)
	}
	_, err := node.Add(t.Context(), network(node, hostLocal(), object{"preserveDefaultVlan": "yes"}), node.Pod("bad"))
	says(t, err, types.ErrInvalidNetworkConfig, "preserveDefaultVlan", "true or false")
}
