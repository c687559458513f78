package leg_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/podlan/podlan/integration/debs"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// service is a Service with one endpoint: what is asked for and what answers,
// as address:port.
type service struct{ addr, endpoint string }

func (s service) parts() (addr, port, endpoint, endpointAddr string) {
	addr, port, _ = strings.Cut(s.addr, ":")
	endpointAddr, _, _ = strings.Cut(s.endpoint, ":")
	return addr, port, s.endpoint, endpointAddr
}

// proxies write the rules of kube-proxy as its modes do.
func proxies() map[string]func(*testing.T, *rtnltest.Netns, ...service) {
	return map[string]func(*testing.T, *rtnltest.Netns, ...service){"iptables": viaIPTables, "nftables": viaNFTables}
}

func viaIPTables(t *testing.T, n *rtnltest.Netns, services ...service) {
	t.Helper()
	nat := []string{
		"*nat", ":KUBE-SERVICES - [0:0]", ":KUBE-POSTROUTING - [0:0]", ":KUBE-MARK-MASQ - [0:0]",
		"-A PREROUTING -j KUBE-SERVICES", "-A OUTPUT -j KUBE-SERVICES", "-A POSTROUTING -j KUBE-POSTROUTING",
		"-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000",
		"-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
		"-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000", "-A KUBE-POSTROUTING -j MASQUERADE --random-fully",
	}
	for i, s := range services {
		addr, port, endpoint, endpointAddr := s.parts()
		chain := fmt.Sprintf("KUBE-SEP-%d", i)
		nat = append(nat, ":"+chain+" - [0:0]",
			fmt.Sprintf("-A KUBE-SERVICES -d %s/32 -p tcp --dport %s -j %s", addr, port, chain),
			fmt.Sprintf("-A %s -s %s/32 -j KUBE-MARK-MASQ", chain, endpointAddr))
		if addr == nodeAddr { // a NodePort masquerades whoever asks
			nat = append(nat, fmt.Sprintf("-A %s -j KUBE-MARK-MASQ", chain))
		}
		nat = append(nat, fmt.Sprintf("-A %s -p tcp -j DNAT --to-destination %s", chain, endpoint))
	}
	filter := []string{
		"*filter", ":KUBE-FORWARD - [0:0]", "-A FORWARD -j KUBE-FORWARD",
		"-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
		"-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT",
		"-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
	}
	text := strings.Join(append(append(nat, "COMMIT"), append(filter, "COMMIT", "")...), "\n")
	run(t, n, "iptables", text, "iptables-restore", "--noflush")
}

func viaNFTables(t *testing.T, n *rtnltest.Netns, services ...service) {
	t.Helper()
	var all []string
	for _, s := range services {
		addr, port, endpoint, endpointAddr := s.parts()
		match := fmt.Sprintf("ip daddr %s tcp dport %s ", addr, port)
		if addr == nodeAddr {
			all = append(all, match+"meta mark set meta mark | 0x4000")
		}
		all = append(all, match+fmt.Sprintf("ip saddr %s meta mark set meta mark | 0x4000", endpointAddr), match+"dnat to "+endpoint)
	}
	run(t, n, "nft", `table ip kube-proxy {
		chain services {
			`+strings.Join(all, "\n")+`
		}
		chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
		chain nat-output { type nat hook output priority -100; jump services; }
		chain nat-postrouting {
			type nat hook postrouting priority srcnat
			meta mark & 0x4000 == 0 return
			meta mark set meta mark ^ 0x4000
			masquerade fully-random
		}
		chain filter-forward { type filter hook forward priority 0; ct state invalid drop; }
	}`, "nft", "-f", "-")
}

// run runs a program of a Debian package in the namespace, fed with text.
func run(t *testing.T, n *rtnltest.Netns, pkg, text string, command ...string) string {
	t.Helper()
	tool, err := debs.Find(t.Context(), pkg)
	must(t, err)
	command[0] = filepath.Join(filepath.Dir(tool.Path), command[0])
	return runPath(t, n, tool, text, command...)
}

func runPath(t *testing.T, n *rtnltest.Netns, tool debs.Tool, text string, command ...string) string {
	t.Helper()
	var out []byte
	must(t, n.Do(func() (err error) {
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Env, cmd.Stdin = append(os.Environ(), tool.Env...), strings.NewReader(text)
		cmd.Env = append(cmd.Env, "XTABLES_LOCKFILE="+filepath.Join(t.TempDir(), "lock"))
		if out, err = cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", command, err, out)
		}
		return nil
	}))
	return string(out)
}

// bridgeNF shows bridged frames to iptables, or does not, and gives the Pods'
// ports what follows from it.
func (p *place) bridgeNF(t *testing.T, on bool) {
	t.Helper()
	value := map[bool]string{true: "1", false: "0"}[on]
	must(t, p.node.SetSysctls(
		rtnl.Sysctl{Path: "net/bridge/bridge-nf-call-iptables", Value: value},
		rtnl.Sysctl{Path: "net/bridge/bridge-nf-call-ip6tables", Value: value},
	))
	links, err := p.node.Links()
	must(t, err)
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, rtnl.HostEndPrefix) {
			must(t, p.node.SetPortFlags(l.Attrs().Index, rtnl.PortFlags{Learning: true, Flood: true, Hairpin: on, MulticastRouter: 1}))
		}
	}
}
