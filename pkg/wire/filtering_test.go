package wire

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// newTrunk is a lan whose bridge filters: VLANs 10 and 20 tagged on eth1, 10 on
// the bridge itself. The site has a host in each, both with the same address.
func newTrunk(t *testing.T) *lan {
	t.Helper()
	rtnltest.NeedVLAN(t)
	l := &lan{node: rtnltest.New(t), site: rtnltest.New(t)}
	filtering := true
	bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), VlanFiltering: &filtering}
	bridge.Name = "br0"
	must(t, l.node.Add(bridge))
	l.br0 = l.node.Up(t, "br0")
	l.eth1 = l.node.Cable(t, "eth1", l.site, "lan0")
	must(t, l.node.SetMaster(l.eth1, l.br0))
	must(t, l.node.AddVLAN(l.eth1, one(10), rtnl.VLANFlags{}, false))
	must(t, l.node.AddVLAN(l.eth1, one(20), rtnl.VLANFlags{}, false))
	must(t, l.node.AddVLAN(l.br0, one(10), rtnl.VLANFlags{}, true))
	l.lan0 = l.site.Must(t, "lan0").Attrs().Index
	l.out = l.site.PacketSocket(t, "lan0", 0)
	l.awaitCable(t)
	for vid, mac := range map[int]MAC{10: hostIn(10), 20: hostIn(20)} {
		l.vlanHost(t, vid, mac)
	}
	return l
}

func one(vid uint16) rtnl.VLANRange { return rtnl.VLANRange{First: vid, Last: vid} }

func hostIn(vid byte) MAC { return MAC{0x02, 0xcc, 0, 0, 0, vid} }

func hostIP() netip.Addr { return netip.MustParseAddr("192.0.2.5") }

// vlanHost is a VLAN device of the site, in a namespace of its own: one kernel
// would answer for both.
func (l *lan) vlanHost(t *testing.T, vid int, mac MAC) {
	t.Helper()
	dev := &netlink.Vlan{LinkAttrs: netlink.NewLinkAttrs(), VlanId: vid}
	host := rtnltest.New(t)
	dev.Name, dev.ParentIndex, dev.HardwareAddr = "vlan0", l.lan0, mac.HardwareAddr()
	dev.Namespace = netlink.NsFd(host.Fd())
	must(t, l.site.Add(dev))
	host.Up(t, "vlan0")
	host.Address(t, "vlan0", hostIP().String()+"/24")
	// The site's NIC takes what is for the device's MAC.
	must(t, l.site.Do(func() error { return netlink.SetPromiscOn(l.site.Must(t, "lan0")) }))
}

func TestAProbeIsAnsweredFromItsVLANOnly(t *testing.T) {
	l := newTrunk(t)
	must(t, l.node.AddVLAN(l.br0, one(20), rtnl.VLANFlags{}, true))
	for _, vid := range []uint16{20, 10} {
		c := openARPOn(t, l.node, "br0", vid, Claim{hostIP(), podMAC()})
		must(t, c.Send(probeFor(hostIP(), podMAC())))
		hearsARP(t, c, ARP{
			Reply: true, SenderMAC: hostIn(byte(vid)), SenderIP: hostIP(),
			TargetMAC: macOf(t, l.node, "br0"), TargetIP: netip.IPv4Unspecified(),
		})
	}
}

// Another runtime's container is an access port of the VLAN.
func TestAProbeInAVLANReachesThisNodesContainers(t *testing.T) {
	l := newTrunk(t)
	container := l.container(t)
	port := l.node.Must(t, "veth1").Attrs().Index
	must(t, inVLAN(l.node.Handle, port, l.br0, 10))
	container.Address(t, "eth0", "192.0.2.6/24")
	ip := netip.MustParseAddr("192.0.2.6")
	c := openARPOn(t, l.node, "br0", 10, Claim{ip, podMAC()})
	must(t, c.Send(probeFor(ip, podMAC())))
	hearsARP(t, c, ARP{
		Reply: true, SenderMAC: macOf(t, container, "eth0"), SenderIP: ip,
		TargetMAC: macOf(t, l.node, "br0"), TargetIP: netip.IPv4Unspecified(),
	})
}

// The administrator's bridge has a VLAN of its own, as it has VLAN 1 by default:
// its frames come up without a tag.
func TestABridgesOwnUntaggedVLANIsHeardAndSpoken(t *testing.T) {
	l := newTrunk(t)
	must(t, l.node.DelVLAN(l.br0, one(1), true))
	must(t, l.node.AddVLAN(l.br0, one(10), rtnl.VLANFlags{PVID: true, Untagged: true}, true))
	c := openARPOn(t, l.node, "br0", 10, Claim{hostIP(), podMAC()})
	must(t, c.Send(probeFor(hostIP(), podMAC())))
	l.send(t, tagged(arpFrame(t, announcementOf(hostIP(), serverMAC())), 20))
	got, err := c.Receive()
	must(t, err)
	if got.SenderMAC != hostIn(10) {
		t.Errorf("heard %+v", got)
	}
}

func TestABridgeThatCannotTellTheVLANIsNotListenedTo(t *testing.T) {
	l := newTrunk(t)
	must(t, l.node.AddVLAN(l.br0, one(30), rtnl.VLANFlags{Untagged: true}, true))
	for vid, want := range map[uint16]string{20: "not in this VLAN", 30: "cannot tell it from others", 1: "cannot tell it from others"} {
		if _, err := tryOpenARP(l.node, "br0", vid); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("VLAN %d: %v, wanted %q", vid, err, want)
		}
	}
}

func TestABridgesOwnTableSaysHowAVLANComesUp(t *testing.T) {
	tagged, own := rtnl.VLAN{VID: 10}, rtnl.VLAN{VID: 10, PVID: true, Untagged: true}
	first := rtnl.VLAN{VID: 1, PVID: true, Untagged: true}
	for name, c := range map[string]struct {
		table []rtnl.VLAN
		want  uint16
		ok    bool
	}{
		"none":                   {nil, 0, false},
		"others":                 {[]rtnl.VLAN{first, {VID: 20}}, 0, false},
		"tagged":                 {[]rtnl.VLAN{first, tagged, {VID: 20}}, 10, true},
		"its own":                {[]rtnl.VLAN{{VID: 1}, own, {VID: 20}}, 0, true},
		"untagged beside others": {[]rtnl.VLAN{{VID: 1, Untagged: true}, own}, 0, false},
		"untagged only outwards": {[]rtnl.VLAN{{VID: 10, Untagged: true}}, 0, false},
	} {
		got, err := ownTag(c.table, 10)
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%s: %d, %v", name, got, err)
		}
	}
}

func TestAMomentaryPortIsInItsVLANAlone(t *testing.T) {
	l := newTrunk(t)
	trunk := l.trunk(t)
	c := open(t, l.node, func() (*Conn, error) { return OpenPort("br0", 10, podMAC()) })
	for _, name := range momentary(t, l.node) {
		link := l.node.Must(t, name)
		if link.Attrs().MasterIndex == 0 {
			continue
		}
		table, err := l.node.VLANs(link.Attrs().Index)
		must(t, err)
		if diff := cmp.Diff([]rtnl.VLAN{{VID: 10, PVID: true, Untagged: true}}, table); diff != "" {
			t.Error(diff)
		}
	}
	must(t, c.Send(release()))
	want, err := release().frame()
	must(t, err)
	if got, aux := trunk.from(t, podMAC()); aux.vid != 10 || !bytes.Equal(got[:len(want)], want) {
		t.Errorf("on the wire: %+v, %x", aux, got)
	}
	l.send(t, tagged(replyFrame(t, "other"), 20), tagged(replyFrame(t, "reply"), 10))
	hears(t, c, "reply")
}

// The bridge keeps to its table; the socket on its port does not.
func TestAnUplinkOfABridgeThatFiltersIsHeardOnEachVLAN(t *testing.T) {
	l := newTrunk(t)
	for _, vid := range []uint16{0, 10, 20} {
		c := l.vlan(t, vid)
		for _, other := range []uint16{10, 20, 30} {
			if other != vid {
				l.send(t, tagged(replyFrame(t, "other"), other))
			}
		}
		l.send(t, tagged(replyFrame(t, "reply"), vid))
		hears(t, c, "reply")
	}
}

// Beside a VLAN device of the administrator's on the same NIC.
func TestAnUplinkWithAVLANDeviceIsHeardAllTheSame(t *testing.T) {
	l := newTrunk(t)
	dev := &netlink.Vlan{LinkAttrs: netlink.NewLinkAttrs(), VlanId: 10}
	dev.Name, dev.ParentIndex = "eth1.10", l.eth1
	must(t, l.node.Add(dev))
	l.node.Up(t, "eth1.10")
	c := l.vlan(t, 10)
	l.send(t, tagged(replyFrame(t, "reply"), 10))
	hears(t, c, "reply")
	sub := open(t, l.node, func() (*Conn, error) { return OpenUplink("eth1.10", 0) })
	l.send(t, tagged(replyFrame(t, "other"), 20), tagged(replyFrame(t, "on the sub-interface"), 10))
	hears(t, sub, "on the sub-interface")
	trunk := l.trunk(t)
	must(t, sub.Send(release()))
	if _, aux := trunk.from(t, podMAC()); aux.vid != 10 {
		t.Errorf("on the wire: %+v", aux)
	}
}

func TestAMomentaryPortOfAVLANTakesABridgeThatFilters(t *testing.T) {
	l := newLAN(t)
	_, err := tryOpen(l.node, func() (*Conn, error) { return OpenPort("br0", 10, podMAC()) })
	if !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "does not filter") {
		t.Error(err)
	}
	if names := momentary(t, l.node); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
}

// What podland may do, it may with two capabilities.
func TestAVLANTakesNoMoreThanPodlandsCapabilities(t *testing.T) {
	l := newTrunk(t)
	asPodland(t, l.node, func() error {
		port, err := OpenPort("br0", 10, podMAC())
		if err != nil {
			return err
		}
		ear, err := OpenARP("br0", 10)
		if err != nil {
			return errors.Join(err, port.Close())
		}
		err = ear.Watch([]Claim{{podIP(), podMAC()}})
		return errors.Join(err, port.Send(release()), ear.Send(probeFor(podIP(), podMAC())), ear.Close(), port.Close())
	})
	if names := momentary(t, l.node); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
}
