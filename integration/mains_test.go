package integration_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/podlan/podlan/integration/lab"
)

// refDHCP starts the reference's dhcp daemon on the node and returns an ipam
// object that uses it.
func refDHCP(t *testing.T, node *lab.Node) object {
	t.Helper()
	root, err := lab.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(node.Dir(), "dhcp.sock")
	cmd := node.Command(t.Context(), filepath.Join(root, "bin", "reference", "dhcp"), "daemon", "-socketpath", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lab.Eventually(t, "the reference's daemon listens", func() error {
		_, err := os.Stat(socket)
		return err
	})
	return object{"type": "dhcp", "daemonSocketPath": socket}
}

func TestMainAndIPAMPluginsMix(t *testing.T) {
	t.Parallel()
	static := object{"type": "static", "addresses": []object{{"address": "198.18.99.9/16", "gateway": "198.18.0.1"}}}
	cases := map[string]struct {
		main object
		ipam func(*testing.T, *lab.Node) object
		// gives tells that our own release has to be seen.
		gives bool
	}{
		"podlan-bridge over podlan-dhcp":        {object{}, ours, true},
		"podlan-bridge over host-local":         {object{}, func(*testing.T, *lab.Node) object { return hostLocal() }, false},
		"podlan-bridge over static":             {object{}, func(*testing.T, *lab.Node) object { return static }, false},
		"podlan-bridge over the reference dhcp": {object{}, refDHCP, false},
		"macvlan over podlan-dhcp":              {object{"type": "macvlan", "master": "eth1", "mode": "bridge"}, ours, true},
		"the reference bridge over podlan-dhcp": {object{"type": "bridge", "uplink": "eth1"}, ours, true},
		"podlan-bridge over podlan-dhcp in the Pod": {object{}, func(*testing.T, *lab.Node) object {
			return object{"type": "podlan-dhcp", "dhcpFrom": "pod"}
		}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t, options(t, lab.Options{Server: lab.Dnsmasq}))
			client := l.Host("client")
			opts := lab.NodeOptions{Bridge: "lan0"}
			if c.main["type"] == "macvlan" {
				opts.Bridge = ""
			}
			node := l.Node("n1", opts)
			node.StartPodland()
			conf := network(node, c.ipam(t, node), object{"cniVersion": "1.0.0"}, c.main)
			before := node.Snapshot()
			pod := node.Pod("p1")
			addr := address(t, attach(t, node, conf, pod))
			reaches(t, client, addr)
			reaches(t, pod, l.Server().Host.Addr.Addr())
			if err := node.Check(t.Context(), conf, pod); err != nil {
				t.Errorf("CHECK: %v", err)
			}
			detach(t, node, conf, pod)
			if c.gives {
				awaitNoLease(t, l.Server(), addr)
			}
			if c.main["type"] != "bridge" { // the reference's own switches off accept_ra
				asBefore(t, node, before)
			}
		})
	}
}

func ours(*testing.T, *lab.Node) object { return leased() }

func TestADHCPServerOnTheNodeItselfServesABridgeWithoutUplink(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.None}))
	// Not pinned, the MAC of a bridge whose only ports are Pods is theirs.
	mac := net.HardwareAddr{0x02, 0xaa, 0, 0, 0, 1}
	node := l.Node("n1", lab.NodeOptions{NoUplink: true, Bridge: "pods0", BridgeMAC: mac})
	server := node.RunServer(lab.Dnsmasq, "pods0")
	node.StartPodland()
	conf := sample(t, node, "40-server-on-node.conflist")
	before := node.Snapshot()
	pod, gone := node.Pod("p1"), node.Pod("p2")
	addr := address(t, attach(t, node, conf, pod))
	addrGone := address(t, attach(t, node, conf, gone))
	reaches(t, node, addr)
	reaches(t, pod, addrGone)
	detach(t, node, conf, pod)
	if err := gone.Close(); err != nil { // no namespace to speak from any more
		t.Fatal(err)
	}
	detach(t, node, conf, gone, lab.Attachment{NoNetns: true})
	awaitNoLease(t, server, addr, addrGone)
	asBefore(t, node, before)
}

func TestWithoutPodAccessDHCPFromThePodIsRefused(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland(lab.PodlandOptions{Unprivileged: true})
	conf := network(node, object{"type": "podlan-dhcp", "dhcpFrom": "pod"})
	_, err := node.Add(t.Context(), conf, node.Pod("p1"))
	says(t, err, 7, "pod-access.conf")
}

func TestPodlandWithTwoCapabilitiesServesAndSettles(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Dnsmasq}))
	client := l.Host("client")
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	unprivileged := lab.PodlandOptions{Unprivileged: true}
	node.StartPodland(unprivileged)
	conf := network(node, leased())
	before := node.Snapshot()
	given := manyPods(t, node, conf, 3)
	reaches(t, client, given.addrs[0])
	detach(t, node, conf, given.pods[0])
	node.KillPodland()
	detach(t, node, conf, given.pods[1])
	node.StartPodland(unprivileged)
	detach(t, node, conf, given.pods[2])
	awaitNoLease(t, l.Server(), given.addrs...)
	asBefore(t, node, before)
}
