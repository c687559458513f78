package kube

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/podlan/podlan/integration/kube/upstream"
	"github.com/podlan/podlan/integration/lab"
)

// servicePrefix is what kubeadm gives Services.
const servicePrefix = "10.96.0.0/12"

// Cluster is a control plane on a host of the lab's LAN, and the kube-proxies of
// nodes. Its methods end the test that it was built for where they fail, so they
// are for that test's goroutine and not for those of its subtests.
type Cluster struct {
	// Control is the host that the control plane runs on.
	Control *lab.Host

	tb        lab.TB
	dir       string
	programs  upstream.Programs
	api       *client
	processes []*process
	proxies   map[string]*backend // by node
}

// New adds a host "control" to the lab and starts etcd and kube-apiserver on it.
// The test's cleanup ends them.
func New(tb lab.TB, l *lab.Lab) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb, Control: l.Host("control"), dir: filepath.Join(l.Dir(), "kubernetes"), proxies: map[string]*backend{}}
	tb.Cleanup(c.close)
	if err := c.build(tb.Context()); err != nil {
		tb.Fatalf("kube: %v", err)
	}
	return c
}

func (c *Cluster) build(ctx context.Context) (err error) {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	if c.programs, err = upstream.Find(ctx, os.Stderr); err != nil {
		return err
	}
	if err := c.startETCD(ctx); err != nil {
		return err
	}
	return c.startAPIServer(ctx)
}

// ServiceCIDR is what Services' addresses are taken from.
func (c *Cluster) ServiceCIDR() netip.Prefix { return netip.MustParsePrefix(servicePrefix) }

// keep has a process end with the cluster.
func (c *Cluster) keep(p *process) { c.processes = append(c.processes, p) }

// close runs before the lab is taken down, whose folder and namespaces the
// processes use. The last comes first: none is to complain that another is gone.
func (c *Cluster) close() {
	for _, p := range slices.Backward(c.processes) {
		if c.tb.Failed() {
			c.tb.Logf("%s:\n%s", p.name, tail(p.log(), 100))
		}
		p.kill()
	}
}

// node makes a node what kubeadm wants one to be, and tells the cluster of it, as
// its kubelet would.
func (c *Cluster) node(ctx context.Context, n *lab.Node) error {
	if !n.Addr.IsValid() {
		return errors.New("it has no address")
	}
	if err := n.SetSysctl("net.ipv4.ip_forward", "1"); err != nil {
		return fmt.Errorf("forwarding: %w", err)
	}
	return c.api.create(ctx, "/api/v1/nodes", object{
		"apiVersion": "v1", "kind": "Node",
		"metadata": object{"name": n.Name(), "labels": object{"kubernetes.io/hostname": n.Name()}},
		"status": object{"addresses": []object{
			{"type": "InternalIP", "address": n.Addr.Addr()},
			{"type": "Hostname", "address": n.Name()},
		}},
	}, nil)
}
