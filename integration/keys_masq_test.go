package integration_test

import (
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/podlan/podlan/integration/debs"
	"github.com/podlan/podlan/integration/lab"
)

// toolEnv is an environment in which plugins find iptables, or nft and no
// iptables.
func toolEnv(t *testing.T, program string) []string {
	t.Helper()
	tool, err := debs.Find(t.Context(), program)
	if err != nil {
		t.Fatal(err)
	}
	if program == "nft" {
		return append(tool.Env, "PATH="+filepath.Dir(tool.Path))
	}
	return tool.Env
}

// natRules are the node's tables, chains and rules but for the guard's, which
// is the only one of its family.
func natRules(node *lab.Node) []string {
	return slices.DeleteFunc(node.Snapshot().NFT, func(line string) bool { return strings.HasPrefix(line, "bridge ") })
}

func TestKeyIPMasqMakesThePodTheNodeBeyondItsSubnet(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ program, backend string }{
		"iptables": {"iptables", "iptables"},
		"nftables": {"nft", "nftables"},
		// The default is iptables where it is found, else nftables.
		"iptables by default": {"iptables", ""},
		"nftables by default": {"nft", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, reference := twoSides(t, lab.Options{}, lab.NodeOptions{})
			keys := object{"isDefaultGateway": true, "ipMasq": true, "ipam": podNet()}
			if c.backend != "" {
				keys["ipMasqBackend"] = c.backend
			}
			reference.node.AddEnv(toolEnv(t, c.program)...)
			ours.node.AddEnv(toolEnv(t, c.program)...)
			alike(t, masquerade(t, reference, keys), masquerade(t, ours, keys))
		})
	}
}

// masquerade attaches two Pods, tells as whom the LAN and a neighbour know the
// first, detaches, and returns the rules during and after.
func masquerade(t *testing.T, s side, keys object) (rules [2][]string) {
	t.Helper()
	client := s.lab.Host("client")
	conf := s.conf(keys)
	neighbour := s.node.Pod("p2")
	addr := address(t, attach(t, s.node, conf, s.pod))
	attach(t, s.node, conf, neighbour)
	rules[0] = natRules(s.node)
	if peer := dialled(t, s.pod.Netns, client.Netns, client.Addr.Addr()); peer != s.node.Addr.Addr() {
		t.Errorf("%s: the LAN sees the Pod as %s, want the node's %s", s.plugin, peer, s.node.Addr.Addr())
	}
	if peer := dialled(t, s.pod.Netns, neighbour.Netns, netip.MustParseAddr("10.22.0.3")); peer != addr {
		t.Errorf("%s: its neighbour sees the Pod as %s, want %s", s.plugin, peer, addr)
	}
	detach(t, s.node, conf, s.pod)
	detach(t, s.node, conf, neighbour)
	rules[1] = natRules(s.node)
	return rules
}

// dialled connects from one namespace to another and returns the address that
// the other sees.
func dialled(t *testing.T, from, to *lab.Netns, addr netip.Addr) netip.Addr {
	t.Helper()
	wildcard := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	if addr.Is6() {
		wildcard = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
	}
	listener, err := to.Listen(t.Context(), "tcp", wildcard.String())
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := uint16(listener.Addr().(*net.TCPAddr).Port)
	lab.Eventually(t, "a connection to "+addr.String(), func() error {
		conn, err := from.Dial(t.Context(), "tcp", netip.AddrPortFrom(addr, port).String())
		if err != nil {
			return err
		}
		return conn.Close()
	})
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	peer := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	return peer.Addr().Unmap()
}

// The reference leaves its rules where the namespace has gone before DEL.
func TestKeyIPMasqLeavesNoRuleWhereTheNamespaceWentFirst(t *testing.T) {
	t.Parallel()
	for program, left := range map[string]string{"iptables": "chain CNI-", "nft": "chain masq_checks: 1 rules"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t, options(t, lab.Options{Server: lab.None}))
			node := l.Node("n1", lab.NodeOptions{})
			node.AddEnv(toolEnv(t, program)...)
			backend := map[string]string{"iptables": "iptables", "nft": "nftables"}[program]
			conf := node.Conf(object{
				"cniVersion": "1.1.0", "name": "pods", "type": "podlan-bridge",
				"isDefaultGateway": true, "ipMasq": true, "ipMasqBackend": backend, "ipam": podNet(),
			})
			pod := node.Pod("p1")
			attach(t, node, conf, pod)
			has := func(line string) bool { return strings.Contains(line, left) }
			if rules := natRules(node); !slices.ContainsFunc(rules, has) {
				t.Fatalf("no %q among\n%s", left, strings.Join(rules, "\n"))
			}
			if err := pod.Close(); err != nil {
				t.Fatal(err)
			}
			detach(t, node, conf, pod, lab.Attachment{NoNetns: true})
			if rules := natRules(node); slices.ContainsFunc(rules, has) {
				t.Errorf("%q is left among\n%s", left, strings.Join(rules, "\n"))
			}
		})
	}
}

// What the documentation of most clusters shows, with its type changed alone.
func TestKeysOfAnOrdinaryConflistServeUnchanged(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"0.3.1", "1.0.0"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			ours, reference := twoSides(t, lab.Options{}, lab.NodeOptions{})
			var saw [2]seen
			for i, s := range []side{reference, ours} {
				s.node.AddEnv(toolEnv(t, "iptables")...)
				conf := s.node.Conf(`{
				  "cniVersion": "` + version + `",
				  "name": "mynet",
				  "plugins": [
				    {
				      "type": "` + s.plugin + `",
				      "bridge": "cni0",
				      "isGateway": true,
				      "ipMasq": true,
				      "hairpinMode": true,
				      "ipam": {
				        "type": "host-local",
				        "ranges": [[{"subnet": "10.22.0.0/16"}]],
				        "routes": [{"dst": "0.0.0.0/0"}]
				      }
				    }
				  ]
				}`)
				result, err := s.node.Add(t.Context(), conf, s.pod)
				if err != nil {
					t.Fatal(err)
				}
				saw[i] = see(t, s.node, s.pod, result)
				reaches(t, s.pod, s.lab.Host("client").Addr.Addr())
				if version != "0.3.1" {
					if err := s.node.Check(t.Context(), conf, s.pod); err != nil {
						t.Errorf("%s: CHECK: %v", s.plugin, err)
					}
				}
				detach(t, s.node, conf, s.pod)
			}
			alike(t, saw[0], saw[1])
		})
	}
}
