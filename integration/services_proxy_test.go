package integration_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/podlan/podlan/integration/lab"
)

// proxyMode is kube-proxy's.
type proxyMode string

const (
	viaIPTables proxyMode = "iptables"
	viaNFTables proxyMode = "nftables"
)

// service is a Service of type ClusterIP with one endpoint.
type service struct {
	name     string
	addr     netip.Addr
	endpoint endpoint
}

// servicePort is every Service's.
const servicePort = 80

// write gives the node's kernel the rules that kube-proxy writes, of a cluster
// that was given no Pod CIDR: it takes no Pod for its own. The order and the
// matches are those of Kubernetes 1.34; what only speeds them up is left out.
// integration/kube has the real one.
func (m proxyMode) write(t *testing.T, n *lab.Node, services []service) {
	t.Helper()
	if m == viaIPTables {
		feed(t, n.Netns, "iptables", iptablesRules(services), "iptables-restore", "--noflush")
		return
	}
	feed(t, n.Netns, "nft", nftablesRules(services), "nft", "-f", "-")
}

func iptablesRules(services []service) string {
	nat := []string{
		"*nat", ":KUBE-SERVICES - [0:0]", ":KUBE-POSTROUTING - [0:0]", ":KUBE-MARK-MASQ - [0:0]",
		`-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES`,
		`-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES`,
		`-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING`,
		"-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000",
		"-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
		"-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000",
		"-A KUBE-POSTROUTING -j MASQUERADE --random-fully",
	}
	for i, s := range services {
		svc, sep := fmt.Sprintf("KUBE-SVC-%d", i), fmt.Sprintf("KUBE-SEP-%d", i)
		nat = append(nat, ":"+svc+" - [0:0]", ":"+sep+" - [0:0]",
			fmt.Sprintf("-A %s -j %s", svc, sep),
			fmt.Sprintf("-A %s -s %s/32 -j KUBE-MARK-MASQ", sep, s.endpoint.addr))
		for _, p := range []string{"tcp", "udp"} {
			nat = append(nat,
				fmt.Sprintf("-A KUBE-SERVICES -d %s/32 -p %s --dport %d -j %s", s.addr, p, servicePort, svc),
				fmt.Sprintf("-A %s -p %s -j DNAT --to-destination %s:%d", sep, p, s.endpoint.addr, answering))
		}
	}
	return strings.Join(append(nat, "COMMIT",
		"*filter", ":KUBE-FORWARD - [0:0]", "-A FORWARD -j KUBE-FORWARD",
		"-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
		"-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT",
		"-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "COMMIT", ""), "\n")
}

func nftablesRules(services []service) string {
	var chains, elements []string
	for i, s := range services {
		chains = append(chains, fmt.Sprintf(`
	chain endpoint-%[1]d {
		ip saddr %[2]s jump mark-for-masquerade
		meta l4proto { tcp, udp } dnat to %[2]s:%[3]d
	}
	chain service-%[1]d { goto endpoint-%[1]d; }`, i, s.endpoint.addr, answering))
		for _, p := range []string{"tcp", "udp"} {
			elements = append(elements, fmt.Sprintf("%s . %s . %d : goto service-%d", s.addr, p, servicePort, i))
		}
	}
	return `table ip kube-proxy {
	chain mark-for-masquerade { meta mark set meta mark | 0x4000; }
	chain masquerading {
		meta mark & 0x4000 == 0 return
		meta mark set meta mark ^ 0x4000
		masquerade fully-random
	}` + strings.Join(chains, "") + `
	map service-ips {
		type ipv4_addr . inet_proto . inet_service : verdict
		elements = { ` + strings.Join(elements, ", ") + ` }
	}
	chain services { ip daddr . meta l4proto . th dport vmap @service-ips; }
	chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
	chain nat-output { type nat hook output priority -100; jump services; }
	chain nat-postrouting { type nat hook postrouting priority srcnat; jump masquerading; }
	chain filter-forward { type filter hook forward priority -110; ct state invalid drop; }
}`
}

// feed runs a program of a Debian package in the namespace, fed with text.
func feed(t *testing.T, n *lab.Netns, pkg, text, program string, args ...string) {
	t.Helper()
	_, err := n.RunTool(t.Context(), pkg, text, program, args...)
	must(t, err)
}
