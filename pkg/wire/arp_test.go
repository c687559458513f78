package wire

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

func podIP() netip.Addr { return netip.MustParseAddr("192.0.2.77") }

func probeFor(ip netip.Addr, mac MAC) ARP {
	return ARP{SenderMAC: mac, SenderIP: netip.IPv4Unspecified(), TargetIP: ip}
}

func announcementOf(ip netip.Addr, mac MAC) ARP {
	return ARP{SenderMAC: mac, SenderIP: ip, TargetIP: ip}
}

func openARP(t *testing.T, n *rtnltest.Netns, link string, claims ...Claim) *ARPConn {
	t.Helper()
	return openARPOn(t, n, link, 0, claims...)
}

func openARPOn(t *testing.T, n *rtnltest.Netns, link string, vid uint16, claims ...Claim) *ARPConn {
	t.Helper()
	c, err := tryOpenARP(n, link, vid)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	must(t, c.Watch(claims))
	return c
}

func tryOpenARP(n *rtnltest.Netns, link string, vid uint16) (c *ARPConn, err error) {
	err = n.Do(func() (err error) {
		c, err = OpenARP(link, vid)
		return err
	})
	return c, err
}

// bridge hears what is said of the Pod's address on br0.
func (l *lan) bridge(t *testing.T) *ARPConn {
	t.Helper()
	return openARP(t, l.node, "br0", Claim{podIP(), podMAC()})
}

func arpFrame(tb testing.TB, p ARP) []byte {
	tb.Helper()
	frame, err := p.frame()
	must(tb, err)
	return frame
}

func hearsARP(t *testing.T, c *ARPConn, want ARP) {
	t.Helper()
	got, err := c.Receive()
	must(t, err)
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("heard:\n%s", diff)
	}
}

func macOf(t *testing.T, n *rtnltest.Netns, link string) MAC {
	t.Helper()
	return MAC(n.Must(t, link).Attrs().HardwareAddr)
}

// container is another runtime's: a port of br0, its eth0 in a namespace.
func (l *lan) container(t *testing.T) *rtnltest.Netns {
	t.Helper()
	c := rtnltest.New(t)
	port := l.node.Cable(t, "veth1", c, "eth0")
	must(t, l.node.SetMaster(port, l.br0))
	up := func(link netlink.Link) bool { return link.Attrs().OperState == netlink.OperUp }
	await(t, l.node, port, up)
	await(t, c, c.Must(t, "eth0").Attrs().Index, up)
	return c
}

// Their kernels answer by unicast. The Pod's MAC has a port already, as in an ADD
// that has not waited.
func TestAProbeIsAnsweredByWhoHasTheAddress(t *testing.T) {
	l := newLAN(t)
	container := l.container(t)
	pod := rtnltest.New(t)
	port := l.node.Cable(t, "pod1", pod, "eth0")
	must(t, l.node.SetMaster(port, l.br0))
	must(t, l.node.Do(func() error {
		return netlink.NeighAppend(&netlink.Neigh{
			LinkIndex: port, Family: unix.AF_BRIDGE, Flags: netlink.NTF_MASTER,
			State: netlink.NUD_NOARP, HardwareAddr: podMAC().HardwareAddr(),
		})
	}))
	for name, who := range map[string]struct {
		netns *rtnltest.Netns
		link  string
		ip    string
	}{
		"a host of the LAN":           {l.site, "lan0", "192.0.2.5"},
		"another runtime's container": {container, "eth0", "192.0.2.6"},
	} {
		t.Run(name, func(t *testing.T) {
			who.netns.Address(t, who.link, who.ip+"/24")
			ip, mac := netip.MustParseAddr(who.ip), macOf(t, who.netns, who.link)
			c := openARP(t, l.node, "br0", Claim{ip, podMAC()})
			must(t, c.Send(probeFor(ip, podMAC())))
			hearsARP(t, c, ARP{
				Reply: true, SenderMAC: mac, SenderIP: ip,
				TargetMAC: macOf(t, l.node, "br0"), TargetIP: netip.IPv4Unspecified(),
			})
			if l.node.Must(t, "br0").Attrs().Promisc != 0 {
				t.Error("the bridge is promiscuous")
			}
		})
	}
}

func TestAProbeOfAPlainNICIsAnswered(t *testing.T) {
	node, site := newPod(t)
	site.Address(t, "host0", "192.0.2.77/24")
	c := openARP(t, node, "eth0", Claim{podIP(), podMAC()})
	must(t, c.Send(probeFor(podIP(), podMAC())))
	got, err := c.Receive()
	must(t, err)
	if got.SenderMAC != macOf(t, site, "host0") || got.SenderIP != podIP() {
		t.Errorf("heard %+v", got)
	}
}

// A bridge that is not in the VLAN cannot be listened to, but its uplink.
func TestAProbeOfABridgesPortIsAnsweredByTheLAN(t *testing.T) {
	l := newLAN(t)
	l.site.Address(t, "lan0", "192.0.2.77/24")
	c := openARP(t, l.node, "eth1", Claim{podIP(), podMAC()})
	l.send(t, tagged(arpFrame(t, announcementOf(podIP(), serverMAC())), 20)) // another VLAN's
	must(t, c.Send(probeFor(podIP(), podMAC())))
	got, err := c.Receive()
	must(t, err)
	if got.SenderMAC != macOf(t, l.site, "lan0") || got.SenderIP != podIP() {
		t.Errorf("heard %+v", got)
	}
}

func TestWhatIsSentOnTheWire(t *testing.T) {
	l := newLAN(t)
	c := l.bridge(t)
	bridge := macOf(t, l.node, "br0")
	reply := ARP{Reply: true, SenderMAC: podMAC(), SenderIP: podIP(), TargetMAC: serverMAC(), TargetIP: netip.MustParseAddr("192.0.2.9")}
	for name, p := range map[string]struct {
		sent, want ARP
		from, to   MAC
	}{
		"a probe":         {probeFor(podIP(), podMAC()), probeFor(podIP(), bridge), bridge, broadcast()},
		"an announcement": {announcementOf(podIP(), podMAC()), announcementOf(podIP(), podMAC()), podMAC(), broadcast()},
		"a reply":         {reply, reply, podMAC(), serverMAC()},
	} {
		t.Run(name, func(t *testing.T) {
			ears := l.site.PacketSocket(t, "lan0", unix.ETH_P_ARP)
			must(t, c.Send(p.sent))
			frame := make([]byte, 1500)
			n, err := unix.Read(ears, frame)
			must(t, err)
			if MAC(frame[:6]) != p.to || MAC(frame[6:12]) != p.from {
				t.Errorf("from %x to %x", frame[6:12], frame[:6])
			}
			if !bytes.Equal(frame[12:n], arpFrame(t, p.want)[12:]) {
				t.Errorf("sent %x", frame[:n])
			}
		})
	}
}

func TestWhatIsNotIPv4IsNotSent(t *testing.T) {
	l := newLAN(t)
	c := l.bridge(t)
	for _, p := range []ARP{{}, announcementOf(netip.MustParseAddr("2001:db8::1"), podMAC())} {
		if err := c.Send(p); !errors.Is(err, unix.EAFNOSUPPORT) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

func TestABridgeThatGoesDownAndUpIsStillHeard(t *testing.T) {
	l := newLAN(t)
	c := l.bridge(t)
	heard := make(chan error, 1)
	go func() { // waits through all of it
		_, err := c.Receive()
		heard <- err
	}()
	must(t, l.node.SetDown(l.br0))
	if err := c.Send(probeFor(podIP(), podMAC())); !errors.Is(err, unix.ENETDOWN) {
		t.Errorf("send on a link that is down: %v", err)
	}
	must(t, l.node.SetUp(l.br0))
	must(t, c.Send(probeFor(podIP(), podMAC())))
	await(t, l.node, l.br0, func(link netlink.Link) bool { return link.Attrs().OperState == netlink.OperUp })
	l.send(t, arpFrame(t, announcementOf(podIP(), serverMAC())))
	must(t, <-heard)
}

func TestABridgeThatIsMissingOrRemovedIsErrNoLink(t *testing.T) {
	l := newLAN(t)
	if _, err := tryOpenARP(l.node, "br7", 0); !errors.Is(err, ErrNoLink) {
		t.Errorf("open: %v", err)
	}
	c := l.bridge(t)
	must(t, l.node.Delete("br0"))
	for _, p := range []ARP{probeFor(podIP(), podMAC()), announcementOf(podIP(), podMAC())} {
		if err := c.Send(p); !errors.Is(err, ErrNoLink) {
			t.Errorf("send: %v", err)
		}
	}
}

func TestACloseOfARPIsFinal(t *testing.T) {
	l := newLAN(t)
	c := l.bridge(t)
	done := make(chan error, 1)
	go func() {
		_, err := c.Receive()
		done <- err
	}()
	must(t, c.Close())
	errs := map[string]error{"the Receive that waited": <-done}
	_, errs["receive"] = c.Receive()
	errs["probe"] = c.Send(probeFor(podIP(), podMAC()))
	errs["announce"] = c.Send(announcementOf(podIP(), podMAC()))
	errs["watch"] = c.Watch(nil)
	errs["close"] = c.Close()
	for what, err := range errs {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
