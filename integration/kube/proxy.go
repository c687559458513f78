package kube

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/podlan/podlan/integration/debs"
	"github.com/podlan/podlan/integration/lab"
)

// Mode is how kube-proxy programs the kernel.
type Mode string

// The modes that this machine's kernel can do. IPVS needs one with modules.
const (
	IPTables Mode = "iptables"
	NFTables Mode = "nftables"
)

// Modes returns every mode.
func Modes() []Mode { return []Mode{IPTables, NFTables} }

// backend is the mode of a node's kube-proxy and the program that it calls.
type backend struct {
	mode    Mode
	tool    debs.Tool
	running *process
}

// Proxy makes the lab's node one of the cluster and runs kube-proxy in its
// namespace, configured as kubeadm does for a cluster that was given no Pod CIDR:
// it takes no Pod for its own. It returns when the node's rules have the
// cluster's first Service, the API server itself.
func (c *Cluster) Proxy(node *lab.Node, mode Mode) {
	c.tb.Helper()
	if err := c.proxy(c.tb.Context(), node, mode); err != nil {
		c.tb.Fatalf("kube: node %s: %v", node.Name(), err)
	}
}

func (c *Cluster) proxy(ctx context.Context, node *lab.Node, mode Mode) error {
	tool, err := debs.Find(ctx, map[Mode]string{IPTables: "iptables", NFTables: "nft"}[mode])
	if err != nil {
		return err
	}
	if err := c.node(ctx, node); err != nil {
		return err
	}
	c.proxies[node.Name()] = &backend{mode: mode, tool: tool}
	return c.run(ctx, node)
}

// Restart ends the node's kube-proxy, which leaves its rules, and starts another.
func (c *Cluster) Restart(node *lab.Node) {
	c.tb.Helper()
	c.proxies[node.Name()].running.kill()
	if err := c.run(c.tb.Context(), node); err != nil {
		c.tb.Fatalf("kube: node %s: %v", node.Name(), err)
	}
}

// run returns when the rules are there.
func (c *Cluster) run(ctx context.Context, node *lab.Node) error {
	b := c.proxies[node.Name()]
	conf := filepath.Join(c.dir, "kube-proxy-"+node.Name()+".conf")
	if err := writeJSON(conf, c.proxyConf(node, b.mode)); err != nil {
		return err
	}
	cmd := exec.Command(c.programs.Proxy, "--config", conf)
	// It looks its tools up in PATH; whatever the machine has comes second.
	cmd.Env = append(append(os.Environ(), b.tool.Env...), "PATH="+filepath.Dir(b.tool.Path)+":"+os.Getenv("PATH"))
	p, err := start(node.Netns, c.dir, "kube-proxy-"+node.Name(), cmd)
	if err != nil {
		return err
	}
	c.keep(p)
	b.running = p
	first, err := c.kubernetes(ctx)
	if err != nil {
		return err
	}
	return p.await(ctx, func() error { return c.programmed(ctx, node, first) })
}

// proxyConf is kubeadm's, but for what would reach beyond the namespace: limits
// of connection tracking are the machine's.
func (c *Cluster) proxyConf(node *lab.Node, mode Mode) object {
	return object{
		"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
		"mode": mode, "bindAddress": "0.0.0.0", "hostnameOverride": node.Name(),
		"clientConnection": object{"kubeconfig": c.kubeconfig()},
		"clusterCIDR":      "",
		"iptables":         object{"masqueradeAll": false},
		"nftables":         object{"masqueradeAll": false},
		"conntrack": object{
			"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s",
		},
		"healthzBindAddress": "127.0.0.1:10256", "metricsBindAddress": "127.0.0.1:10249",
	}
}
