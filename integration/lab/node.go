package lab

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/containernetworking/cni/libcni"
)

// NodeOptions describe a node's connection to the LAN. The zero value has the
// NIC eth1 with the node's address on it, and no bridge.
type NodeOptions struct {
	// Uplink is the NIC's name. Default eth1.
	Uplink string
	// NoUplink leaves the node without a NIC.
	NoUplink bool
	// UplinkMAC is the NIC's MAC; the kernel chooses one if nil.
	UplinkMAC net.HardwareAddr
	// Cable takes two NICs of the machine's own namespace, at both ends of one
	// cable, instead of a veth: the first as the uplink, the other as the switch's
	// port. A virtual machine has them (integration/vm -nic).
	Cable [2]string
	// MTU of the NIC and the bridge in bytes. Default 1500.
	MTU int

	// Bridge is a bridge as an administrator makes one, with the NIC as its
	// port and the node's address on it. Empty: none.
	Bridge string
	// BridgeMAC pins the bridge's MAC. Nil: the kernel takes the lowest of the
	// ports'.
	BridgeMAC net.HardwareAddr
	// STP runs the spanning tree on the bridge with this forward delay
	// (kernel: 2 to 30 s, default 15 s).
	STP          bool
	ForwardDelay time.Duration

	// Filtering has the bridge tell VLANs apart. Its ports and the bridge itself
	// are in VLAN 1, untagged, as the kernel makes them.
	Filtering bool

	// Address is the node's on the LAN. Default: the next free one.
	Address netip.Prefix
	// NoAddress leaves the node without one.
	NoAddress bool
}

// Node is a machine that runs Pods. Its CNI calls are safe for 200 goroutines
// at once.
type Node struct {
	Host
	// Uplink is the NIC, Bridge the bridge on it; either may be empty.
	Uplink, Bridge string

	dir     string
	cni     *libcni.CNIConfig
	plugins *pluginLog

	mu      sync.Mutex
	podland *Process
	env     []string
}

// Node adds a node.
func (l *Lab) Node(name string, opts NodeOptions) *Node {
	l.tb.Helper()
	n, err := l.newNode(name, opts)
	if err != nil {
		l.tb.Fatalf("lab: node %s: %v", name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes = append(l.nodes, n)
	return n
}

func (l *Lab) newNode(name string, opts NodeOptions) (*Node, error) {
	if opts.Uplink == "" {
		opts.Uplink = "eth1"
	}
	ns, err := l.newNetns(name)
	if err != nil {
		return nil, err
	}
	n := &Node{Host: Host{Netns: ns}, Bridge: opts.Bridge, plugins: &pluginLog{}, env: l.opts.Env}
	if n.dir, err = l.subdir(name); err != nil {
		return nil, err
	}
	n.cni = libcni.NewCNIConfigWithCacheDir(n.cniPath(), filepath.Join(n.dir, "cni-cache"), newNodeExec(n))
	if err := n.wire(opts); err != nil {
		return nil, err
	}
	return n, n.address(opts)
}

// wire makes the NIC and the bridge.
func (n *Node) wire(opts NodeOptions) error {
	if !opts.NoUplink {
		port, err := n.lab.sw.plugNode(n.Netns, opts)
		if err != nil {
			return err
		}
		n.Uplink, n.Iface, n.SwitchPort = opts.Uplink, opts.Uplink, port
	}
	if opts.Bridge == "" {
		return nil
	}
	n.Iface = opts.Bridge
	err := n.addBridge(bridgeSpec{
		name: opts.Bridge, mac: opts.BridgeMAC, mtu: opts.MTU,
		snooping: true, stp: opts.STP, forwardDelay: opts.ForwardDelay, filtering: opts.Filtering,
	})
	if err != nil || n.Uplink == "" {
		return err
	}
	return n.enslave(n.Uplink, opts.Bridge)
}

func (n *Node) address(opts NodeOptions) error {
	if opts.NoAddress || n.Iface == "" {
		return nil
	}
	n.Addr = opts.Address
	if !n.Addr.IsValid() {
		n.Addr = n.lab.plan.host()
	}
	if err := n.AddAddress(n.Iface, n.Addr); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	if n.lab.server == nil || n.lab.opts.NoRouter || n.Uplink == "" {
		return nil
	}
	return n.addDefaultRoute(n.Iface, n.lab.plan.server)
}

// Dir returns the node's folder in the lab's: sockets, state, logs.
func (n *Node) Dir() string { return n.dir }

// StateDir returns what stands in for /var/lib/podlan on the node.
func (n *Node) StateDir() string { return filepath.Join(n.dir, "state") }

// Socket returns the path of podland's socket on the node.
func (n *Node) Socket() string { return filepath.Join(n.dir, "podland.sock") }

// AddEnv adds "key=value" to the environment of plugins and podland started
// from now on.
func (n *Node) AddEnv(env ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.env = append(slices.Clip(n.env), env...)
}

func (n *Node) extraEnv() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.env
}

func (n *Node) cniPath() []string {
	return append([]string{n.lab.opts.Bin}, n.lab.opts.CNIPath...)
}
