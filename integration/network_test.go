package integration_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/podlan/podlan/integration/lab"
)

// options adds the reference plugins to a lab's.
func options(t *testing.T, opts lab.Options) lab.Options {
	t.Helper()
	opts.CNIPath = append(opts.CNIPath, lab.ReferencePlugins(t))
	return opts
}

// lanWithoutDHCP is a LAN of a host and a node with the administrator's bridge.
func lanWithoutDHCP(t *testing.T) (client *lab.Host, node *lab.Node) {
	t.Helper()
	l := lab.New(t, options(t, lab.Options{Server: lab.None}))
	return l.Host("client"), l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
}

type object = lab.Object

// network is a conf of podlan-bridge on lan0 with an IPAM plugin, and what keys
// else.
func network(node *lab.Node, ipam object, keys ...object) []byte {
	return node.BridgeConf(ipam, keys...)
}

func leased() object    { return lab.Leased() }
func hostLocal() object { return lab.HostLocal() }

// sample is a file of conf/, for the node.
func sample(t *testing.T, node *lab.Node, name string) []byte {
	t.Helper()
	root, err := lab.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(root, "conf", name))
	if err != nil {
		t.Fatal(err)
	}
	return node.Conf(raw)
}

// attach is an ADD that has to succeed.
func attach(t *testing.T, node *lab.Node, conf []byte, pod *lab.Pod, at ...lab.Attachment) *types100.Result {
	t.Helper()
	return node.Attach(t, conf, pod, at...)
}

// detach is a DEL that has to succeed.
func detach(t *testing.T, node *lab.Node, conf []byte, pod *lab.Pod, at ...lab.Attachment) {
	t.Helper()
	node.Detach(t, conf, pod, at...)
}

// asBefore waits until the node is as it was.
func asBefore(t *testing.T, node *lab.Node, before lab.Snapshot) {
	t.Helper()
	node.AwaitAsBefore(t, before)
}

// address is a result's only one.
func address(t *testing.T, result *types100.Result) netip.Addr {
	t.Helper()
	return lab.Address(t, result)
}

// reaches ends the test unless the address answers the host's pings.
func reaches(t *testing.T, from interface {
	Reaches(tb lab.TB, addr netip.Addr)
}, addr netip.Addr,
) {
	t.Helper()
	from.Reaches(t, addr)
}
