package guard_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/guard"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// markSize is the length of the mark that ends every frame of a test.
const markSize = 16

// lan is a bridge with a LAN host and one Pod's port.
type lan struct {
	host, node, pod *rtnltest.Netns
	guard           *guard.Guard
	port            guard.Port
	marks           int
}

func newLAN(t *testing.T, name string) *lan {
	t.Helper()
	l := &lan{host: rtnltest.New(t), node: rtnltest.New(t), pod: rtnltest.New(t)}
	bridge := unsnooping(t, l.node)
	uplink := l.node.Cable(t, "uplink0", l.host, "nic0")
	if err := l.node.SetMaster(uplink, bridge); err != nil {
		t.Fatal(err)
	}
	l.guard = guard.New(l.node.Handle, t.TempDir())
	t.Cleanup(l.guard.Close)
	l.port = guard.Port{
		Name: name, MAC: net.HardwareAddr(mac),
		Addrs: []netip.Addr{netip.MustParseAddr("198.18.1.5"), netip.MustParseAddr("fd00::5")},
		// Many a test sends more at once than a port may.
		Rates: guard.Rates{ARP: -1, Multicast: -1},
	}
	spec := pod.Spec{HostEnd: name, Netns: l.pod.Path, IfName: "eth0", MAC: l.port.MAC, BridgeMTU: 1500}
	if err := pod.Create(t.Context(), l.node.Handle, spec); err != nil {
		t.Fatal(err)
	}
	l.pod.Up(t, "eth0")
	// The port is an ordinary one, so that what is dropped is the guard's work.
	if err := pod.Join(t.Context(), l.node.Handle, name, bridge, l.port.MAC, pod.PortFlags{Learning: true}); err != nil {
		t.Fatal(err)
	}
	for _, port := range []string{name, "uplink0"} {
		if err := pod.WaitForwarding(t.Context(), l.node.Handle, port); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// unsnooping makes a bridge that hands on multicast as it comes.
func unsnooping(t *testing.T, n *rtnltest.Netns) int {
	t.Helper()
	attrs, no := netlink.NewLinkAttrs(), false
	attrs.Name = "lan0"
	if err := n.Add(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &no}); err != nil {
		t.Fatal(err)
	}
	return n.Up(t, "lan0")
}

func (l *lan) add(t *testing.T) {
	t.Helper()
	if err := l.guard.Add(t.Context(), l.port); err != nil {
		t.Fatal(err)
	}
}

// end is a link that sends and hears frames.
type end struct {
	ns   *rtnltest.Netns
	link string
}

func (l *lan) podEnd() end  { return end{l.pod, "eth0"} }
func (l *lan) hostEnd() end { return end{l.host, "nic0"} }

// arrives sends the frame from one end and tells whether the other hears it. A
// frame that surely passes follows it on the same path: what has not come
// before that one was dropped.
func (l *lan) arrives(t *testing.T, from, to end, frame, after []byte) bool {
	t.Helper()
	l.marks++
	mark := fmt.Appendf(nil, "frame %10d", l.marks)
	last := fmt.Appendf(nil, "after %10d", l.marks)
	in := to.ns.PacketSocket(t, to.link, unix.ETH_P_ALL)
	defer func() { _ = unix.Shutdown(in, unix.SHUT_RDWR) }()
	out := from.ns.PacketSocket(t, from.link, 0)
	sendInOrder(t, out, append(bytes.Clone(frame), mark...), append(bytes.Clone(after), last...))
	heard := false
	for {
		got := receive(t, in)
		heard = heard || bytes.Contains(got, mark)
		if bytes.Contains(got, last) {
			return heard
		}
	}
}

// sendInOrder keeps to one processor: a veth's frames wait in the queue of the
// one that sent them.
func sendInOrder(t *testing.T, fd int, frames ...[]byte) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	for cpu := range 1024 {
		if before.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &before) }()
	for _, f := range frames {
		if _, err := unix.Write(fd, f); err != nil {
			t.Fatal(err)
		}
	}
}

func receive(t *testing.T, fd int) []byte {
	t.Helper()
	limit := unix.NsecToTimeval(int64(20 * time.Second))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		t.Fatalf("the frame that surely passes has not come: %v", err)
	}
	return buf[:n]
}
