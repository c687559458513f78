package integration_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/dhcpd"
	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
)

// The messages of RFC 2131 §4.3.6, table 4, and §4.4.1, table 5.
const (
	aDiscover  = "DISCOVER"
	aSelection = "REQUEST in SELECTING"
	aRenewal   = "REQUEST in RENEWING"
	aRebinding = "REQUEST in REBINDING"
	aRelease   = "RELEASE"
	aReply     = "reply"
)

// message is one of DHCP on the wire.
type message struct {
	ether.Frame
	udp ether.UDP
	*dhcpv4.DHCPv4
}

// messages are those of DHCP in a capture.
func messages(frames []ether.Frame) []message {
	var found []message
	for _, f := range frames {
		if m, ok := f.DHCP(); ok {
			u, _ := f.UDP()
			found = append(found, message{f, u, m})
		}
	}
	return found
}

func everybody() netip.Addr { return netip.AddrFrom4([4]byte{255, 255, 255, 255}) }

// name tells the kinds of REQUEST apart by where they go and what they hold.
func (m message) name() string {
	switch {
	case m.OpCode != dhcpv4.OpcodeBootRequest:
		return aReply
	case m.MessageType() != dhcpv4.MessageTypeRequest:
		return m.MessageType().String()
	case m.Options.Has(dhcpv4.OptionServerIdentifier):
		return aSelection
	case m.udp.Dst.Addr() == everybody():
		return aRebinding
	}
	return aRenewal
}

// life is a lease from its DISCOVER to its RELEASE, as the node's cable saw it.
type life struct {
	said           []message
	addr, server   netip.Addr
	mac, serverMAC string
}

// first returns the first message of a name.
func (l life) first(t *testing.T, name string) message {
	t.Helper()
	i := slices.IndexFunc(l.said, func(m message) bool { return m.name() == name })
	if i < 0 {
		t.Fatalf("no %s on the wire", name)
	}
	return l.said[i]
}

// live has a Pod's lease granted, renewed in vain, rebound and released. The
// rebinding is answered twice: to the Pod's MAC, and to everybody's, which a
// bridge gives to each of its ports. Meanwhile is called before the release.
func live(t *testing.T, l *lab.Lab, node *lab.Node, pod *lab.Pod, ipam object, meanwhile func(hostEnd string)) life {
	t.Helper()
	server := l.Server().Embedded()
	server.On(dhcpd.Renewing).Answer(dhcpd.Silent())
	server.On(dhcpd.Rebinding).Answer(dhcpd.Regularly, toEverybody)
	cable := l.Switch().Capture(node.SwitchPort, isDHCP)
	conf := network(node, ipam)
	result := attach(t, node, conf, pod)
	got := life{
		addr: address(t, result), mac: result.Interfaces[2].Mac,
		server: l.Server().Host.Addr.Addr(), serverMAC: l.Server().Host.Snapshot().Links["eth0"].MAC,
	}
	err := cable.Await(t.Context(), func(frames []ether.Frame) bool {
		got.said = messages(frames)
		i := slices.IndexFunc(got.said, func(m message) bool { return m.name() == aRebinding })
		return i >= 0 && len(got.said) >= i+3 // and its two answers
	})
	if err != nil {
		t.Fatalf("not rebound: %v", err)
	}
	meanwhile(result.Interfaces[1].Name)
	detach(t, node, conf, pod)
	l.Server().AwaitReleases(1)
	got.said = messages(cable.All())
	return got
}

func toEverybody(req dhcpd.Request) ([]dhcpd.Reply, bool) {
	replies := req.Regular()
	for i := range replies {
		replies[i].Broadcast = true
	}
	return replies, true
}

// shortTimes make a lease be renewed and rebound while a test waits.
func shortTimes() lab.Options {
	return lab.Options{Lease: time.Minute, T1: time.Second, T2: 4 * time.Second}
}

func TestOnTheWireEachMessageIsAsTheRFCHasIt(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"uplink", "pod"} {
		t.Run("from the "+from, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t, options(t, shortTimes()))
			node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
			node.StartPodland()
			got := live(t, l, node, node.Pod("p1"), object{"type": "podlan-dhcp", "dhcpFrom": from}, func(string) {})
			for _, name := range []string{aDiscover, aSelection, aRenewal, aRebinding, aRelease} {
				got.first(t, name)
			}
			for _, m := range got.said {
				if m.name() != aReply {
					got.check(t, m)
				}
			}
			got.checkTransactions(t)
		})
	}
}

// fields are those of a message that the RFC fixes.
type fields struct {
	srcMAC, dstMAC, chaddr         string
	src, dst                       netip.AddrPort
	ciaddr, yiaddr, siaddr, giaddr string
	requested, serverID            string // options 50 and 54
	clientID                       bool   // option 61 is there
	secs                           bool   // is not 0
}

// check compares a message with RFC 2131 §4.4.1, table 5, §4.3.6, table 4, and
// §4.4.4.
func (l life) check(t *testing.T, m message) {
	t.Helper()
	zero := netip.IPv4Unspecified()
	want := fields{
		srcMAC: l.mac, dstMAC: ether.Broadcast().String(), chaddr: l.mac,
		src: netip.AddrPortFrom(zero, 68), dst: netip.AddrPortFrom(everybody(), 67),
		ciaddr: zero.String(), yiaddr: zero.String(), siaddr: zero.String(), giaddr: zero.String(), clientID: true, secs: true,
	}
	if name := m.name(); name == aRenewal || name == aRebinding || name == aRelease {
		want.src, want.ciaddr = netip.AddrPortFrom(l.addr, 68), l.addr.String()
	}
	switch m.name() {
	case aSelection:
		want.requested, want.serverID = l.addr.String(), l.server.String()
	case aRelease:
		want.serverID, want.secs = l.server.String(), false
		fallthrough
	case aRenewal:
		want.dstMAC, want.dst = l.serverMAC, netip.AddrPortFrom(l.server, 67)
	}
	got := fields{
		srcMAC: m.Src.String(), dstMAC: m.Dst.String(), chaddr: m.ClientHWAddr.String(), src: m.udp.Src, dst: m.udp.Dst,
		ciaddr: m.ClientIPAddr.String(), yiaddr: m.YourIPAddr.String(), siaddr: m.ServerIPAddr.String(), giaddr: m.GatewayIPAddr.String(),
		requested: m.addrOf(dhcpv4.OptionRequestedIPAddress), serverID: m.addrOf(dhcpv4.OptionServerIdentifier),
		clientID: m.Options.Has(dhcpv4.OptionClientIdentifier), secs: m.NumSeconds > 0,
	}
	if got != want {
		t.Errorf("%s is\n%+v, want\n%+v", m.name(), got, want)
	}
}

// addrOf returns an option's address, "" where there is none.
func (m message) addrOf(code dhcpv4.OptionCode) string {
	if !m.Options.Has(code) {
		return ""
	}
	return net.IP(m.Options.Get(code)).String()
}

// checkTransactions: a REQUEST for an offer goes on with the transaction and
// the `secs` of its DISCOVER (§3.1, §4.4.1); everything else begins anew.
func (l life) checkTransactions(t *testing.T) {
	t.Helper()
	discovery, selection := l.first(t, aDiscover), l.first(t, aSelection)
	if discovery.TransactionID != selection.TransactionID || discovery.NumSeconds != selection.NumSeconds {
		t.Errorf("DISCOVER has xid %s, secs %d; its REQUEST %s, %d",
			discovery.TransactionID, discovery.NumSeconds, selection.TransactionID, selection.NumSeconds)
	}
	renewal, rebinding, release := l.first(t, aRenewal), l.first(t, aRebinding), l.first(t, aRelease)
	used := []string{}
	for _, m := range []message{discovery, renewal, rebinding, release} {
		used = append(used, m.TransactionID.String())
	}
	if slices.Sort(used); len(slices.Compact(used)) != 4 {
		t.Errorf("transactions of DISCOVER, RENEWING, REBINDING, RELEASE: %v, want four", used)
	}
	if rebinding.NumSeconds <= renewal.NumSeconds {
		t.Errorf("secs was %d in RENEWING and is %d in REBINDING", renewal.NumSeconds, rebinding.NumSeconds)
	}
}

func TestOnTheWireSecsGrowUntilAServerAnswers(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	l.Server().Embedded().On(dhcpd.Discovering, dhcpd.Times(1)).Answer(dhcpd.Silent())
	cable := l.Switch().Capture(node.SwitchPort, isDHCP)
	conf := network(node, leased())
	pod := node.Pod("p1")
	attach(t, node, conf, pod)
	said := slices.DeleteFunc(messages(cable.All()), func(m message) bool { return m.name() == aReply })
	if len(said) < 3 || said[0].name() != aDiscover || said[1].name() != aDiscover {
		t.Fatalf("the client said %v, want two DISCOVER first", said)
	}
	for i, m := range said[1:] {
		before := said[i] // said[1:] is one ahead
		grown := m.NumSeconds > before.NumSeconds || m.name() == aSelection && m.NumSeconds == before.NumSeconds
		if before.NumSeconds < 1 || !grown {
			t.Errorf("secs was %d in %s and is %d in %s", before.NumSeconds, before.name(), m.NumSeconds, m.name())
		}
	}
	detach(t, node, conf, pod)
}

// podland speaks for the Pod: neither its own messages nor the answers to them
// pass the Pod's port, nor does the Pod's kernel complain about them.
func TestOnALeaseFirstPodsPortThereIsNoDHCPAndNoICMPToTheServer(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, shortTimes()))
	server := l.Server().Host.Addr.Addr()
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	pod := node.Pod("p1")
	// All interfaces, since those that count are not there yet.
	atHostEnd, inPod := node.Capture("", nil), pod.Capture("", nil)
	var hostEnd int
	got := live(t, l, node, pod, leased(), func(hostEndName string) {
		hostEnd = link(t, node.Netns, hostEndName).Attrs().Index
		reaches(t, pod, server) // so that there is something to see
	})
	got.first(t, aRenewal)
	for where, frames := range map[string][]ether.Frame{
		"on the host end": slices.DeleteFunc(atHostEnd.All(), func(f ether.Frame) bool { return f.IfIndex != hostEnd }),
		"in the Pod":      inPod.All(),
	} {
		if !slices.ContainsFunc(frames, isARP) {
			t.Errorf("nothing was captured %s", where)
		}
		for _, f := range frames {
			if ofDHCP(f) || complains(f, server) {
				t.Errorf("%s: %v", where, f)
			}
		}
	}
}

// ofDHCP tells whether a frame is of ports 67 or 68, DHCP's or not.
func ofDHCP(f ether.Frame) bool {
	u, ok := f.UDP()
	if !ok {
		return false
	}
	for _, port := range []uint16{u.Src.Port(), u.Dst.Port()} {
		if port == dhcpv4.ServerPort || port == dhcpv4.ClientPort {
			return true
		}
	}
	return false
}

// complains tells whether a frame is an ICMP message to the server, other than
// a ping.
func complains(f ether.Frame, server netip.Addr) bool {
	const echo = 8
	p, ok := f.IPv4()
	return ok && p.Protocol == unix.IPPROTO_ICMP && p.Dst == server && (len(p.Payload) == 0 || p.Payload[0] != echo)
}

func isARP(f ether.Frame) bool {
	_, ok := f.ARP()
	return ok
}

// A switch that inspects DHCP shuts a port at one packet too many.
func TestOnTheWireTheConfsPaceIsKept(t *testing.T) {
	t.Parallel()
	const pace, pods = 10, 30
	// podland's clock is read before the kernel's: a loaded machine may lie
	// between. Unpaced, all of them are out within a quarter of this.
	const second = 900 * time.Millisecond
	l := lab.New(t, options(t, lab.Options{}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	sent := stamps(t, node.Netns, "eth1")
	conf := network(node, object{"type": "podlan-dhcp", "pace": pace})
	manyPods(t, node, conf, pods)
	at := sent()
	if len(at) < 2*pods {
		t.Fatalf("%d DHCP packets sent for %d Pods", len(at), pods)
	}
	for i := range at[pace:] {
		if took := at[i+pace].Sub(at[i]); took < second {
			t.Errorf("%d packets within %s, from the %d-th on", pace+1, took, i+1)
		}
	}
}

// Refusals come of a server that offers one address to several: those that ask
// at once must become fewer. Their number on the wire is never above podland's.
func TestOnTheWireAServerThatRefusesIsAskedByFewerAtOnce(t *testing.T) {
	t.Parallel()
	const pods, first = 24, 16
	l := lab.New(t, options(t, lab.Options{}))
	server := l.Server().Embedded()
	letGo := make(chan struct{})
	server.On(dhcpd.Discovering).Answer(together(letGo))
	server.On(dhcpd.Selecting).Answer(dhcpd.NAK)
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	cable := l.Switch().Capture(node.SwitchPort, isDHCP)
	conf := network(node, leased(), object{"budget": "6s"})
	var wg sync.WaitGroup
	for i := range pods {
		pod := node.Pod(fmt.Sprintf("p%d", i))
		wg.Go(func() {
			if _, err := node.Add(t.Context(), conf, pod); err == nil {
				t.Error("an ADD succeeds that is always refused")
			}
		})
	}
	err := cable.Await(t.Context(), func(frames []ether.Frame) bool {
		before, _ := clientsAtOnce(messages(frames), pods)
		return before >= first
	})
	close(letGo)
	wg.Wait()
	before, after := clientsAtOnce(messages(cable.All()), pods)
	if err != nil || after >= first || after == 0 {
		t.Errorf("%d clients at once until each is refused, %d after; want %d, then fewer", before, after, first)
	}
}

// together answers nobody before the channel is closed, and then slowly.
func together(letGo <-chan struct{}) dhcpd.Script {
	return func(req dhcpd.Request) ([]dhcpd.Reply, bool) {
		replies := req.Regular()
		for i := range replies {
			replies[i].When, replies[i].After = letGo, 100*time.Millisecond
		}
		return replies, true
	}
}

// clientsAtOnce returns how many clients were under way at most, before each of
// them had been refused once, and after. Who is refused is not under way.
func clientsAtOnce(said []message, clients int) (before, after int) {
	asking, refused := map[string]bool{}, map[string]bool{}
	for _, m := range said {
		client := m.ClientHWAddr.String()
		switch {
		case m.name() == aDiscover:
			asking[client] = true
		case m.MessageType() == dhcpv4.MessageTypeNak:
			delete(asking, client)
			refused[client] = true
		}
		if len(refused) < clients {
			before = max(before, len(asking))
		} else {
			after = max(after, len(asking))
		}
	}
	return before, after
}

// stamps notes when the kernel gave DHCP packets to an interface for sending:
// whoever reads them may be late. The returned function ends it.
func stamps(t *testing.T, ns *lab.Netns, iface string) func() []time.Time {
	t.Helper()
	fd := -1
	err := ns.Do(func() error {
		nic, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		protocol := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8) // in network byte order
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: nic.Index})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	// What came stays in the socket until it is asked for.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	return func() []time.Time { return readStamps(t, fd) }
}

// readStamps empties the socket.
func readStamps(t *testing.T, fd int) (at []time.Time) {
	t.Helper()
	buf, oob := make([]byte, 65536), make([]byte, 128)
	for {
		n, oobn, _, from, err := unix.Recvmsg(fd, buf, oob, 0)
		if errors.Is(err, unix.EAGAIN) {
			return at
		}
		if err != nil {
			t.Fatal(err)
		}
		frame, err := ether.Parse(buf[:n])
		if link, ok := from.(*unix.SockaddrLinklayer); err != nil || !ok || link.Pkttype != unix.PACKET_OUTGOING || !isDHCP(frame) {
			continue
		}
		at = append(at, stampOf(t, oob[:oobn]))
	}
}

func stampOf(t *testing.T, oob []byte) time.Time {
	t.Helper()
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range msgs {
		if m.Header.Type == unix.SCM_TIMESTAMPNS {
			sec, nsec := binary.NativeEndian.Uint64(m.Data), binary.NativeEndian.Uint64(m.Data[8:])
			return time.Unix(int64(sec), int64(nsec))
		}
	}
	t.Fatal("a packet without its time")
	return time.Time{}
}
