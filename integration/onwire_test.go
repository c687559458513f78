package integration_test

import (
	"context"
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
	aReboot    = "REQUEST in INIT-REBOOT"
	aRelease   = "RELEASE"
	aDecline   = "DECLINE"
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
	case m.Options.Has(dhcpv4.OptionRequestedIPAddress):
		return aReboot
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
	got := lifeOf(l.Server(), address(t, result), result.Interfaces[2].Mac)
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

func lifeOf(server *lab.Server, addr netip.Addr, mac string) life {
	return life{
		addr: addr, mac: mac,
		server: server.Host.Addr.Addr(), serverMAC: server.Host.Snapshot().Links["eth0"].MAC,
	}
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
			server := l.Server().Host
			complaints := server.Capture(server.Iface, func(f ether.Frame) bool { return complains(f, server.Addr.Addr()) })
			got := live(t, l, node, node.Pod("p1"), object{"type": "podlan-dhcp", "dhcpFrom": from}, func(string) {})
			if frames := complaints.All(); len(frames) > 0 {
				t.Errorf("ICMP to the server: %v", frames)
			}
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
	case aReboot:
		want.requested = l.addr.String()
	case aDecline:
		want.requested, want.serverID, want.secs = l.addr.String(), l.server.String(), false
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

func TestOnTheWireAfterARebootThereIsNoDISCOVER(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	conf := network(node, leased())
	at := lab.Attachment{Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_UID", "7c1d"}}}
	pod, again := node.Pod("p1"), node.Pod("p2")
	result := attach(t, node, conf, pod, at)
	got := lifeOf(l.Server(), address(t, result), result.Interfaces[2].Mac)
	cable := l.Switch().Capture(node.SwitchPort, isDHCP)
	reboot(t, node, pod)
	attach(t, node, conf, again, at)
	got.said = messages(cable.All())
	got.check(t, got.first(t, aReboot))
	if slices.ContainsFunc(got.said, func(m message) bool { return m.name() == aDiscover }) {
		t.Errorf("the client said %v", got.said)
	}
	detach(t, node, conf, again, at)
}

func TestOnTheWireADeclineIsAsTheRFCHasIt(t *testing.T) {
	t.Parallel()
	taken := netip.MustParseAddr("198.18.1.7")
	l := lab.New(t, options(t, lab.Options{First: taken, Last: taken}))
	squatter := l.Host("squatter")
	if err := squatter.AddAddress(squatter.Iface, netip.PrefixFrom(taken, 16)); err != nil {
		t.Fatal(err)
	}
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	cable := l.Switch().Capture(node.SwitchPort, isDHCP)
	conf := network(node, leased())
	pod := node.Pod("p1")
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = node.Add(ctx, conf, pod) })
	err := cable.Await(t.Context(), func(frames []ether.Frame) bool {
		return slices.ContainsFunc(messages(frames), func(m message) bool { return m.name() == aDecline })
	})
	giveUp() // there is no other address to wait for
	wg.Wait()
	if err != nil {
		t.Fatalf("nothing was declined: %v", err)
	}
	said := messages(cable.All())
	got := lifeOf(l.Server(), taken, said[0].ClientHWAddr.String())
	got.said = said
	got.check(t, got.first(t, aDecline))
	detach(t, node, conf, pod)
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
