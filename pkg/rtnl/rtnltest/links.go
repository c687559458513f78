package rtnltest

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
)

// Bridge makes a bridge that is up, as an administrator would, and returns its
// index.
func (n *Netns) Bridge(tb testing.TB, name string) int {
	tb.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	must(tb, n.Add(&netlink.Bridge{LinkAttrs: attrs}))
	return n.Up(tb, name)
}

// Cable joins name here and peer there, both up: a veth that stands for a NIC
// and what it is plugged into. It returns name's index, once the kernel has made
// name operational: a bridge forwards by what is.
func (n *Netns) Cable(tb testing.TB, name string, there *Netns, peer string) int {
	tb.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	veth := netlink.NewVeth(attrs)
	veth.PeerName = peer
	veth.PeerNamespace = netlink.NsFd(there.Fd())
	must(tb, n.Add(veth))
	// Where both have one index, which numbers links by namespace, the kernel lets
	// the one that comes second wait for up to a second (net/core/link_watch.c).
	index := n.Up(tb, name)
	there.Up(tb, peer)
	n.await(tb, name, func(link netlink.Link) bool { return link.Attrs().OperState == netlink.OperUp })
	return index
}

// Up sets a link up and returns its index.
func (n *Netns) Up(tb testing.TB, name string) int {
	tb.Helper()
	link := n.Must(tb, name)
	must(tb, n.SetUp(link.Attrs().Index))
	return link.Attrs().Index
}

// AwaitCarrier waits, for a minute at most (Stretch), until a link that has to be
// there has carrier. A bridge has it from its ports, of which the kernel tells up
// to a second late.
func (n *Netns) AwaitCarrier(tb testing.TB, name string) {
	tb.Helper()
	n.await(tb, name, rtnl.HasCarrier)
}

// await waits until the link is as wanted.
func (n *Netns) await(tb testing.TB, name string, wanted func(netlink.Link) bool) {
	tb.Helper()
	deadline := time.After(Stretch(time.Minute))
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !wanted(n.Must(tb, name)) {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("never as wanted: %+v", n.Must(tb, name).Attrs())
		}
	}
}

// Must returns a link that has to be there.
func (n *Netns) Must(tb testing.TB, name string) netlink.Link {
	tb.Helper()
	link, err := n.Link(name)
	must(tb, err)
	return link
}

// Address gives a link an address in CIDR notation, an IPv6 one without the
// wait for duplicates.
func (n *Netns) Address(tb testing.TB, name, cidr string) {
	tb.Helper()
	addr, err := netlink.ParseAddr(cidr)
	must(tb, err)
	if addr.IP.To4() == nil {
		addr.Flags = unix.IFA_F_NODAD
	}
	must(tb, n.AddAddr(n.Must(tb, name).Attrs().Index, addr))
}

// Sysctl reads a setting of the namespace, "" if it does not have it.
func (n *Netns) Sysctl(tb testing.TB, path string) string {
	tb.Helper()
	var value string
	must(tb, n.Do(func() error {
		b, err := os.ReadFile("/proc/sys/" + path)
		if os.IsNotExist(err) {
			return nil
		}
		value = strings.TrimSpace(string(b))
		return err
	}))
	return value
}

// PacketSocket opens a raw packet socket on a link; protocol in host order, 0
// hears nothing.
func (n *Netns) PacketSocket(tb testing.TB, link string, protocol uint16) int {
	tb.Helper()
	index := n.Must(tb, link).Attrs().Index
	var fd int
	must(tb, n.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	}))
	tb.Cleanup(func() { _ = unix.Close(fd) })
	must(tb, unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: index, Protocol: protocol<<8 | protocol>>8}))
	return fd
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// STP switches a bridge's spanning tree on, with the kernel's own delays.
func (n *Netns) STP(tb testing.TB, bridge string) {
	tb.Helper()
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(n.Must(tb, bridge).Attrs().Index)
	req.AddData(msg)
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.IFLA_BR_STP_STATE, nl.Uint32Attr(1))
	req.AddData(info)
	must(tb, n.Do(func() error {
		_, err := req.Execute(unix.NETLINK_ROUTE, 0)
		return err
	}))
}
