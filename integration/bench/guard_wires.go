package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
	"github.com/podlan/podlan/pkg/guard"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
)

// wires is a bridge with very many ports, whose Pod ends are all in one
// namespace, and an uplink with nobody behind it.
type wires struct {
	node, pods *lab.Netns
	links      *rtnl.Handle
	guard      *guard.Guard
	ports      []guard.Port
	podEnds    []int // their indexes
}

// uplink is the bridge's port to the LAN.
const uplink = "up0"

// station is behind it.
func station() net.HardwareAddr { return net.HardwareAddr{0x02, 0xff, 0, 0, 0, 1} }

// newWires makes n ports, which do not guard anything yet.
func newWires(ctx context.Context, l *lab.Lab, n int) (*wires, error) {
	node := l.Node("n1", lab.NodeOptions{NoUplink: true, Bridge: "lan0", NoAddress: true})
	w := &wires{node: node.Netns, pods: node.Pod("pods").Netns}
	for _, ns := range []*lab.Netns{w.node, w.pods} { // nobody else shall speak
		if err := ns.SetSysctl("net.ipv6.conf.default.disable_ipv6", "1"); err != nil {
			return nil, err
		}
	}
	err := w.node.Do(func() (err error) {
		w.links, err = rtnl.Here()
		return err
	})
	if err != nil {
		return nil, err
	}
	w.guard = guard.New(w.links, node.Dir())
	if err := w.veth(node.Pod("nobody").Netns, uplink, "eth0", nil); err != nil {
		return nil, err
	}
	for i := range n {
		if err := w.port(ctx, i); err != nil {
			return nil, fmt.Errorf("port %d: %w", i+1, err)
		}
	}
	return w, w.connect()
}

// veth makes one with its near end on the node, up, and its far end up too.
func (w *wires) veth(far *lab.Netns, near, farName string, mac net.HardwareAddr) error {
	h, err := w.node.Netlink()
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = near
	if err := h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: farName, PeerNamespace: netlink.NsFd(far.FD()), PeerHardwareAddr: mac}); err != nil {
		return fmt.Errorf("veth %s: %w", near, err)
	}
	return far.SetLink(farName, true)
}

func (w *wires) port(ctx context.Context, i int) error {
	p := guard.Port{
		Name: fmt.Sprintf("%s%09d", rtnl.GuardedPrefix, i), MAC: net.HardwareAddr{2, 0, 0, 0, byte(i >> 8), byte(i)},
		Addrs: []netip.Addr{netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})},
	}
	podEnd := fmt.Sprintf("p%d", i)
	if err := w.veth(w.pods, p.Name, podEnd, p.MAC); err != nil {
		return err
	}
	bridge, err := w.links.Link("lan0")
	if err == nil {
		err = pod.Join(ctx, w.links, p.Name, bridge.Attrs().Index, p.MAC, pod.PortFlags{})
	}
	if err != nil {
		return err
	}
	h, err := w.pods.Netlink()
	if err != nil {
		return err
	}
	link, err := h.LinkByName(podEnd)
	if err != nil {
		return err
	}
	w.ports, w.podEnds = append(w.ports, p), append(w.podEnds, link.Attrs().Index)
	return pod.WaitForwarding(ctx, w.links, p.Name)
}

// connect puts the station behind the uplink.
func (w *wires) connect() error {
	bridge, err := w.links.Link("lan0")
	if err != nil {
		return err
	}
	up, err := w.links.Link(uplink)
	if err != nil {
		return err
	}
	index := up.Attrs().Index
	if err := w.links.SetMaster(index, bridge.Attrs().Index); err != nil {
		return err
	}
	if err := w.links.SetUp(index); err != nil {
		return err
	}
	_, err = w.links.AddFDB(index, station())
	return err
}

// frame is what the port sends: one that is looked at by all rules for IPv4.
func (w *wires) frame(i int) []byte {
	p := w.ports[i]
	return ether.UDPFrame(station(), p.MAC, ether.UDP{
		Src: netip.AddrPortFrom(p.Addrs[0], 9999), Dst: netip.MustParseAddrPort("198.18.255.1:9999"), Payload: make([]byte, 64),
	})
}

// passed counts the frames that left by the uplink.
func (w *wires) passed() (uint64, error) {
	h, err := w.node.Netlink()
	if err != nil {
		return 0, err
	}
	link, err := h.LinkByName(uplink)
	if err != nil {
		return 0, err
	}
	return link.Attrs().Statistics.TxPackets, nil
}

// sender is a packet socket that hears nothing and waits in no queue.
func (w *wires) sender() (fd int, err error) {
	err = w.pods.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1)
	})
	return fd, err
}

// target is where a sender has to send for the port.
func (w *wires) target(i int) *unix.SockaddrLinklayer {
	return &unix.SockaddrLinklayer{Ifindex: w.podEnds[i], Protocol: binary.BigEndian.Uint16([]byte{0, 8}), Halen: 6}
}
