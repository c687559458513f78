package integration_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/integration/lab"
)

// makeVeth gives the node a link that looks like another NIC.
func makeVeth(t *testing.T, node *lab.Node, name string) {
	t.Helper()
	h, err := node.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	if err := h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name + "p"}); err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{name, name + "p"} {
		if err := node.SetLink(end, true); err != nil {
			t.Fatal(err)
		}
	}
}

// makePort puts a link into a bridge.
func makePort(t *testing.T, node *lab.Node, name, bridge string) {
	t.Helper()
	h, err := node.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	port, err := h.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	master, err := h.LinkByName(bridge)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.LinkSetMaster(port, master); err != nil {
		t.Fatal(err)
	}
}

// prepareUplinks gives the node links that can or cannot be an uplink.
func prepareUplinks(t *testing.T, _ *lab.Lab, node *lab.Node) {
	t.Helper()
	makeVeth(t, node, "spare0")
	makeVeth(t, node, "addressed0")
	if err := node.AddAddress("addressed0", netip.MustParsePrefix("198.51.100.1/24")); err != nil {
		t.Fatal(err)
	}
}

func TestAnAdministratorsBridgeStaysAsItIs(t *testing.T) {
	t.Parallel()
	lowest := net.HardwareAddr{0x02, 0, 0, 0, 0, 1}
	cases := map[string]struct {
		node lab.NodeOptions
		conf object
	}{
		"its MAC not pinned":            {lab.NodeOptions{}, nil},
		"the uplink's MAC the lowest":   {lab.NodeOptions{UplinkMAC: lowest}, nil},
		"its MAC pinned":                {lab.NodeOptions{BridgeMAC: net.HardwareAddr{0x02, 0xaa, 0, 0, 0, 1}}, nil},
		"jumbo MTU":                     {lab.NodeOptions{MTU: 9000}, nil},
		"a conf's mtu below its own":    {lab.NodeOptions{MTU: 9000}, object{"mtu": 1400}},
		"a MAC below its own asked for": {lab.NodeOptions{}, object{"runtimeConfig": object{"mac": "00:00:00:00:00:01"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
			client := l.Host("client")
			c.node.Bridge = "lan0"
			node := l.Node("n1", c.node)
			node.StartPodland()
			if err := node.SetSysctl("net.ipv6.conf.lan0.accept_ra", "2"); err != nil {
				t.Fatal(err)
			}
			conf := network(node, leased(), c.conf)
			before := node.Snapshot()
			pod := node.Pod("p1")
			addr := address(t, attach(t, node, conf, pod))
			during := node.Snapshot()
			for _, link := range []string{"lan0", "eth1"} {
				if during.Links[link].MAC != before.Links[link].MAC || during.Links[link].MTU != before.Links[link].MTU ||
					during.Links[link].AcceptRA != before.Links[link].AcceptRA ||
					strings.Join(during.Links[link].Addresses, " ") != strings.Join(before.Links[link].Addresses, " ") {
					t.Errorf("%s was %+v and is %+v", link, before.Links[link], during.Links[link])
				}
			}
			wantMTU := c.node.MTU
			if c.conf["mtu"] != nil {
				wantMTU = c.conf["mtu"].(int)
			}
			if got := pod.Snapshot().Links["eth0"].MTU; wantMTU != 0 && got != wantMTU {
				t.Errorf("the Pod's MTU is %d, want %d", got, wantMTU)
			}
			reaches(t, client, addr)
			detach(t, node, conf, pod)
			asBefore(t, node, before)
		})
	}
}

func TestABridgeOfOursComesWithTheFirstPodAndGoesWithTheLast(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	client := l.Host("client")
	node := l.Node("n1", lab.NodeOptions{NoAddress: true})
	node.StartPodland()
	conf := sample(t, node, "20-own-bridge.conflist")
	before := node.Snapshot()
	given := manyPods(t, node, conf, 5)
	for _, addr := range given.addrs {
		reaches(t, client, addr)
	}
	bridge, ok := node.Snapshot().Links["podlan0"]
	switch {
	case !ok:
		t.Fatal("there is no bridge podlan0")
	case bridge.MAC != before.Links["eth1"].MAC:
		t.Errorf("the bridge's MAC is %s, want the uplink's %s", bridge.MAC, before.Links["eth1"].MAC)
	case bridge.DisableIPv6 != "1" || bridge.AcceptRA != "0":
		t.Errorf("the node would find itself on the Pods' segment: %+v", bridge)
	}
	for _, pod := range given.pods {
		detach(t, node, conf, pod)
	}
	awaitNoLease(t, l.Server(), given.addrs...)
	asBefore(t, node, before)
}

func TestOnABridgeWithSTPAnADDWaitsForForwarding(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	client := l.Host("client")
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0", STP: true, ForwardDelay: 2 * time.Second})
	node.StartPodland()
	addr := address(t, attach(t, node, network(node, leased()), node.Pod("p1")))
	if err := client.Ping(t.Context(), addr); err != nil {
		t.Errorf("the ADD has ended and the port does not forward: %v", err)
	}
}

func TestOnABridgeWhoseSTPOutlastsTheBudgetAnADDSaysSo(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0", STP: true, ForwardDelay: 15 * time.Second})
	node.StartPodland()
	before := node.Snapshot()
	conf := network(node, hostLocal(), object{"budget": "2s"})
	_, err := node.Add(t.Context(), conf, node.Pod("p1"))
	says(t, err, 103, "forward_delay", "15", "lan0", "budget")
	asBefore(t, node, before)
}

func TestABridgeThatIsDownIsNotSetUp(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.None}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	if err := node.SetLink("lan0", false); err != nil {
		t.Fatal(err)
	}
	_, err := node.Add(t.Context(), network(node, hostLocal()), node.Pod("p1"))
	says(t, err, 102, "lan0", "ip link set lan0 up")
	if node.Snapshot().Links["lan0"].Up {
		t.Error("the bridge was set up")
	}
}
