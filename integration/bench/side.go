package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/podlan/podlan/integration/lab"
)

// The names of the sides.
const (
	podlan    = "podlan"
	reference = "reference"
)

// side is one of the two that are compared: plugins and their daemon.
type side struct {
	name string
	conf []byte
	// start starts the daemon, with nothing held, and returns when it serves.
	start func(context.Context) (daemon, error)
}

// daemon is the process that holds the leases.
type daemon interface {
	PID() int
	Stop() error
}

// ours is the shipped default network: conf/10-podlan.conflist.
func ours(node *lab.Node, root string) (side, error) {
	conf, err := os.ReadFile(filepath.Join(root, "conf", "10-podlan.conflist"))
	if err != nil {
		return side{}, fmt.Errorf("shipped conf: %w", err)
	}
	start := func(context.Context) (daemon, error) {
		if err := os.RemoveAll(node.StateDir()); err != nil {
			return nil, fmt.Errorf("state folder: %w", err)
		}
		return node.StartPodland(), nil
	}
	return side{name: podlan, conf: node.Conf(conf), start: start}, nil
}

// theirs is the same network with containernetworking's plugins.
func theirs(node *lab.Node, root string) side {
	socket := filepath.Join(node.Dir(), "dhcp.sock")
	conf := fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "lan", "plugins": [
		{"type": "bridge", "bridge": %q, "ipam": {"type": "dhcp", "daemonSocketPath": %q}}]}`, node.Bridge, socket)
	start := func(ctx context.Context) (daemon, error) {
		p, err := startProcess(ctx, node.Netns, filepath.Join(node.Dir(), "dhcp.log"),
			filepath.Join(root, "bin", "reference", "dhcp"), "daemon", "-socketpath", socket)
		if err != nil {
			return nil, err
		}
		return p, lab.Until(ctx, func() error { return answers(socket) })
	}
	return side{name: reference, conf: []byte(conf), start: start}
}

// answers tells whether somebody listens on the socket.
func answers(socket string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	return conn.Close()
}
