package integration_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/dhcpd"
	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// contested is the first address of the server's pool; spare is the next.
func contested() netip.Addr { return netip.MustParseAddr("198.18.7.7") }
func spare() netip.Addr     { return contested().Next() }

// conflictLAN is a node on a LAN whose server grants the contested address
// first, and up to last.
func conflictLAN(t *testing.T, last netip.Addr) (l *lab.Lab, node *lab.Node) {
	t.Helper()
	l = lab.New(t, options(t, lab.Options{Server: lab.Embedded, First: contested(), Last: last}))
	node = l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	return l, node
}

// checking is a conf with a kind of conflict detection. It names the uplink, as
// the bridge may have another plugin's ports.
func checking(node *lab.Node, kind leaseapi.Conflict, keys object) []byte {
	return network(node, object{"type": "podlan-dhcp", "conflict": string(kind)}, object{"uplink": "eth1"}, keys)
}

// bearers are who may have the contested address: each returns its MAC.
func bearers() map[string]func(*testing.T, *lab.Lab, *lab.Node) string {
	return map[string]func(*testing.T, *lab.Lab, *lab.Node) string{
		"a host of the LAN": func(t *testing.T, l *lab.Lab, _ *lab.Node) string {
			t.Helper()
			host := l.Host("rival")
			if err := host.AddAddress(host.Iface, netip.PrefixFrom(contested(), 32)); err != nil {
				t.Fatal(err)
			}
			return macOf(t, host.Netns, host.Iface).String()
		},
		"another plugin's container on the same bridge": func(t *testing.T, _ *lab.Lab, node *lab.Node) string {
			t.Helper()
			static := object{"type": "static", "addresses": []object{{"address": contested().String() + "/16"}}}
			result := attach(t, node, network(node, static, object{"name": "other", "type": "bridge", "cniVersion": "1.0.0"}), node.Pod("rival"))
			return result.Interfaces[2].Mac
		},
	}
}

func macOf(t *testing.T, ns *lab.Netns, iface string) net.HardwareAddr {
	t.Helper()
	var mac net.HardwareAddr
	err := ns.Do(func() error {
		link, err := net.InterfaceByName(iface)
		if err == nil {
			mac = link.HardwareAddr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return mac
}

// awaitDecline waits until the server has heard that an address is in use.
func awaitDecline(t *testing.T, l *lab.Lab, addr netip.Addr) {
	t.Helper()
	lab.Eventually(t, "DECLINE", func() error {
		declined := l.Server().Embedded().Received(dhcpv4.MessageTypeDecline)
		if len(declined) == 0 || declined[0].Requested != addr {
			return fmt.Errorf("the server has heard %v", declined)
		}
		return nil
	})
}

func TestAnAddressThatSomebodyBearsIsDeclinedAndAnotherTaken(t *testing.T) {
	t.Parallel()
	for _, kind := range []leaseapi.Conflict{leaseapi.ConflictOptimistic, leaseapi.ConflictWait} {
		for name, bears := range bearers() {
			t.Run(string(kind)+", "+name, func(t *testing.T) {
				t.Parallel()
				l, node := conflictLAN(t, spare())
				client := l.Host("client")
				bears(t, l, node)
				conf, pod := checking(node, kind, nil), node.Pod("p1")
				addr := address(t, attach(t, node, conf, pod))
				awaitDecline(t, l, contested())
				if addr == spare() {
					reaches(t, client, addr)
					awaitState(t, node, leaseapi.StateBound, 1)
					return
				}
				if kind == leaseapi.ConflictWait {
					t.Errorf("the ADD returned %s", addr)
				}
				// Nobody waited for an answer that came late.
				awaitCheck(t, node, conf, pod, leaseapi.CodeLeaseLost)
			})
		}
	}
}

func TestAnADDThatFindsNoFreeAddressSaysWhoHasIt(t *testing.T) {
	t.Parallel()
	for name, bears := range bearers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, node := conflictLAN(t, contested())
			mac := bears(t, l, node)
			before := node.Snapshot()
			conf := checking(node, leaseapi.ConflictWait, object{"budget": "9s"})
			_, err := node.Add(t.Context(), conf, node.Pod("p1"))
			says(t, err, types.ErrTryAgainLater, contested().String(), "declined", mac)
			awaitDecline(t, l, contested())
			asBefore(t, node, before)
		})
	}
}

func TestWithoutConflictDetectionThereIsNeitherProbeNorAnnouncementOfOurs(t *testing.T) {
	t.Parallel()
	l, node := conflictLAN(t, spare())
	bearers()["a host of the LAN"](t, l, node)
	heard := node.Capture("lan0", ofBridge)
	if addr := address(t, attach(t, node, checking(node, leaseapi.ConflictOff, nil), node.Pod("p1"))); addr != contested() {
		t.Fatalf("the ADD returned %s", addr)
	}
	// Once a client that waits for its probes has its address, the first's would
	// be over.
	attach(t, node, checking(node, leaseapi.ConflictWait, nil), node.Pod("p2"))
	for _, f := range heard.All() {
		if a, _ := f.ARP(); a.TargetIP == contested() {
			t.Errorf("sent: %s", a)
		}
	}
	if n := len(l.Server().Embedded().Received(dhcpv4.MessageTypeDecline)); n > 0 {
		t.Errorf("%d DECLINE", n)
	}
}

// ofBridge picks ARP that the bridge itself sends, as podland does.
func ofBridge(f ether.Frame) bool {
	_, ok := f.ARP()
	return ok && f.Outgoing
}

// announcements returns how many of an address there are: RFC 5227 §2.3, and
// the Ethernet source as the packet says.
func announcements(frames []ether.Frame, addr netip.Addr, mac string) int {
	n := 0
	for _, f := range frames {
		a, _ := f.ARP()
		if a.Op == ether.ARPRequest && a.Gratuitous() && a.SenderIP == addr && a.SenderMAC.String() == mac && f.Src.String() == mac {
			n++
		}
	}
	return n
}

func awaitAnnouncements(t *testing.T, heard *lab.Capture, n int, addr netip.Addr, mac string) {
	t.Helper()
	if err := heard.Await(t.Context(), func(frames []ether.Frame) bool { return announcements(frames, addr, mac) >= n }); err != nil {
		t.Fatalf("%d announcements of %s: %v", n, addr, err)
	}
}

// The Pod's kernel announces as well, once and not from the bridge.
func TestAnAddressFoundFreeIsProbedThreeTimesAndAnnouncedTwice(t *testing.T) {
	t.Parallel()
	l, node := conflictLAN(t, spare())
	client := l.Host("client")
	sent, arrives := node.Capture("lan0", ofBridge), client.Capture("eth0", nil)
	result := attach(t, node, network(node, leased()), node.Pod("p1"))
	mac := result.Interfaces[2].Mac
	awaitAnnouncements(t, sent, 2, contested(), mac)
	awaitAnnouncements(t, arrives, 3, contested(), mac)

	bridge, probes := macOf(t, node.Netns, "lan0").String(), 0
	for _, f := range sent.All() {
		a, _ := f.ARP()
		if a.TargetIP != contested() || a.Gratuitous() {
			continue
		}
		probes++
		// Under the bridge's MAC, or the answers would not come to it.
		if a.SenderIP != netip.IPv4Unspecified() || a.SenderMAC.String() != bridge || !ether.IsBroadcast(f.Dst) {
			t.Errorf("probe %s from %s (%s) to %s", a, a.SenderMAC, a.SenderIP, f.Dst)
		}
	}
	if probes != 3 {
		t.Errorf("%d probes", probes)
	}
}

// rival speaks ARP from a host, and only when it is told to.
type rival struct {
	t    *testing.T
	mac  net.HardwareAddr
	sock *ether.Socket
}

func newRival(t *testing.T, host *lab.Host) *rival {
	t.Helper()
	r := &rival{t: t, mac: macOf(t, host.Netns, host.Iface)}
	err := host.Do(func() error {
		link, err := net.InterfaceByName(host.Iface)
		if err == nil {
			r.sock, err = ether.Open(link.Index, ether.All, nil)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.sock.Close() })
	return r
}

// claims says once that the contested address is the rival's.
func (r *rival) claims() {
	r.t.Helper()
	a := ether.ARP{Op: ether.ARPRequest, SenderMAC: r.mac, SenderIP: contested(), TargetIP: contested()}
	if err := r.sock.Send(ether.ARPFrame(ether.Broadcast(), r.mac, a)); err != nil {
		r.t.Fatal(err)
	}
}

// insists claims it until the server hears that it is in use.
func (r *rival) insists(l *lab.Lab) {
	r.t.Helper()
	lab.Eventually(r.t, "DECLINE", func() error {
		r.claims()
		if len(l.Server().Embedded().Received(dhcpv4.MessageTypeDecline)) == 0 {
			return errors.New("none")
		}
		return nil
	})
	awaitDecline(r.t, l, contested())
}

// isCutOff waits until the Pod is told that the address is in use by the rival.
func (r *rival) isCutOff(node *lab.Node, conf []byte, pod *lab.Pod) {
	r.t.Helper()
	awaitState(r.t, node, leaseapi.StateLost, 1)
	if reason := leasesOf(r.t, node)[0].Reason; !strings.Contains(reason, "in use by "+r.mac.String()) {
		r.t.Errorf("lost because %q", reason)
	}
	awaitCheck(r.t, node, conf, pod, leaseapi.CodeLeaseLost)
	says(r.t, node.Check(r.t.Context(), conf, pod), uint(leaseapi.CodeLeaseLost), r.mac.String())
}

// The ADD has not waited for the answer.
func TestAnAnswerThatComesAfterTheADDWithdrawsTheAddress(t *testing.T) {
	t.Parallel()
	l, node := conflictLAN(t, contested())
	r := newRival(t, l.Host("rival"))
	conf, pod := network(node, leased()), node.Pod("p1")
	result := attach(t, node, conf, pod)
	if addr := address(t, result); addr != contested() {
		t.Fatalf("the ADD returned %s", addr)
	}
	r.insists(l)
	r.isCutOff(node, conf, pod)
	lab.Eventually(t, "the Pod's port is closed", func() error {
		if node.Snapshot().Links[result.Interfaces[1].Name].Up {
			return errors.New("it is up")
		}
		return nil
	})
}

// RFC 5227 §2.4(b).
func TestAHeldAddressIsDefendedOnceThenGivenUpAndComesBack(t *testing.T) {
	t.Parallel()
	l, node := conflictLAN(t, contested())
	server := l.Server().Embedded()
	// The server grants what was declined again, unlike most.
	server.On(func(r dhcpd.Request) bool { return r.Type == dhcpv4.MessageTypeDecline }).Answer(dhcpd.Silent())
	client, r := l.Host("client"), newRival(t, l.Host("rival"))
	sent := node.Capture("lan0", ofBridge)
	conf, pod := network(node, leased()), node.Pod("p1")
	mac := attach(t, node, conf, pod).Interfaces[2].Mac
	awaitAnnouncements(t, sent, 2, contested(), mac) // the probing has ended

	r.claims()
	awaitAnnouncements(t, sent, 3, contested(), mac)
	awaitState(t, node, leaseapi.StateBound, 1)
	if n := len(server.Received(dhcpv4.MessageTypeDecline)); n > 0 {
		t.Errorf("%d DECLINE at the first claim", n)
	}
	r.insists(l)
	r.isCutOff(node, conf, pod)

	awaitState(t, node, leaseapi.StateBound, 1)
	awaitCheck(t, node, conf, pod, 0)
	reaches(t, client, contested())
}

func TestOurOwnPodsAreNoConflict(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	conf, waits := network(node, leased()), checking(node, leaseapi.ConflictWait, nil)
	given := manyPods(t, node, conf, 6)
	at := lab.Attachment{Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_UID", "7c1d"}}}
	first, second := node.Pod("sandbox1"), node.Pod("sandbox2")
	old := address(t, attach(t, node, conf, first, at))
	if retried := address(t, attach(t, node, conf, second, at)); retried != old {
		t.Errorf("the retried sandbox has %s, the first had %s", retried, old)
	}
	detach(t, node, conf, first, at)
	node.KillPodland()
	node.StartPodland()
	for _, addr := range append(slices.Clone(given.addrs), old) {
		reaches(t, given.pods[0], addr)
	}
	again := node.Pod("again")
	attach(t, node, conf, again)
	detach(t, node, conf, again)
	// Once a client that waits for its probes has its address, those of all are
	// over.
	attach(t, node, waits, node.Pod("waits"))
	awaitState(t, node, leaseapi.StateBound, len(given.pods)+2)
	if declined := l.Server().Embedded().Received(dhcpv4.MessageTypeDecline); len(declined) > 0 {
		t.Errorf("declined: %v", declined)
	}
}
