package integration_test

import (
	"context"
	"errors"
	"maps"
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
	root, err := lab.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	opts.CNIPath = append(opts.CNIPath, filepath.Join(root, "bin", "reference"))
	return opts
}

// lanWithoutDHCP is a LAN of a host and a node with the administrator's bridge.
func lanWithoutDHCP(t *testing.T) (client *lab.Host, node *lab.Node) {
	t.Helper()
	l := lab.New(t, options(t, lab.Options{Server: lab.None}))
	return l.Host("client"), l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
}

// object is a JSON object, to be written down in a test.
type object = map[string]any

// network is a conf of podlan-bridge on lan0 with an IPAM plugin, and what keys
// else.
func network(node *lab.Node, ipam object, keys ...object) []byte {
	conf := object{"cniVersion": "1.1.0", "name": "lan", "type": "podlan-bridge", "bridge": "lan0", "ipam": ipam}
	if len(ipam) == 0 {
		delete(conf, "ipam")
	}
	for _, more := range keys {
		maps.Copy(conf, more)
	}
	return node.Conf(conf)
}

func leased() object { return object{"type": "podlan-dhcp"} }

func hostLocal() object {
	return object{"type": "host-local", "subnet": "198.18.0.0/16", "rangeStart": "198.18.77.1", "rangeEnd": "198.18.77.200"}
}

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
	result, err := node.Add(t.Context(), conf, pod, at...)
	if err != nil {
		t.Fatalf("ADD of %s: %v", pod.Name(), err)
	}
	return lab.Result(t, result)
}

// detach is a DEL that has to succeed.
func detach(t *testing.T, node *lab.Node, conf []byte, pod *lab.Pod, at ...lab.Attachment) {
	t.Helper()
	if err := node.Del(t.Context(), conf, pod, at...); err != nil {
		t.Fatalf("DEL of %s: %v", pod.Name(), err)
	}
}

// asBefore waits until the node is as it was: podland's socket on the uplink
// lingers for a second.
func asBefore(t *testing.T, node *lab.Node, before lab.Snapshot) {
	t.Helper()
	lab.Eventually(t, "the node is as before", func() error {
		now, err := node.TakeSnapshot()
		if err != nil {
			return err
		}
		if diff := before.Diff(now); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

// address is a result's only one.
func address(t *testing.T, result *types100.Result) netip.Addr {
	t.Helper()
	if len(result.IPs) != 1 {
		t.Fatalf("%d addresses in the result, want one: %v", len(result.IPs), result)
	}
	addr, ok := netip.AddrFromSlice(result.IPs[0].Address.IP)
	if !ok {
		t.Fatalf("%v is no address", result.IPs[0])
	}
	return addr.Unmap()
}

// reaches ends the test unless the address answers the host's pings.
func reaches(t *testing.T, host interface {
	Ping(ctx context.Context, dst netip.Addr) error
}, addr netip.Addr,
) {
	t.Helper()
	if err := host.Ping(t.Context(), addr); err != nil {
		t.Fatalf("ping %s: %v", addr, err)
	}
}
