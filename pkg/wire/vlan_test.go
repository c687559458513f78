package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// others are a frame's ways to be of another VLAN than 10, each with a priority
// too.
func others(frame []byte) map[string][]byte {
	all := map[string][]byte{
		"no VLAN":               frame,
		"a priority alone":      tagged(frame, 0),
		"VLAN 20":               tagged(frame, 20),
		"VLAN 11":               tagged(frame, 11),
		"VLAN 4094":             tagged(frame, 4094),
		"802.1ad's VLAN 10":     taggedAs(frame, 0x88a8, 10),
		"QinQ's old VLAN 10":    taggedAs(frame, 0x9100, 10),
		"VLAN 20 in VLAN 10":    tagged(tagged(frame, 20), 10),
		"VLAN 10 in VLAN 20":    tagged(tagged(frame, 10), 20),
		"VLAN 10 in VLAN 10":    tagged(tagged(frame, 10), 10),
		"VLAN 10 in 802.1ad":    taggedAs(tagged(frame, 10), 0x88a8, 20),
		"802.1ad in VLAN 10":    tagged(taggedAs(frame, 0x88a8, 10), 10),
		"VLAN 10 in a priority": tagged(tagged(frame, 10), 0),
	}
	for name, f := range maps.Clone(all) {
		if len(f) > len(frame) {
			f = bytes.Clone(f)
			f[14] |= 0xe0
			all[name+", with a priority"] = f
		}
	}
	return all
}

func TestOnlyRepliesOfTheVLANAreHeard(t *testing.T) {
	l := newLAN(t)
	marker := tagged(replyFrame(t, "marker"), 10)
	for name, frame := range others(replyFrame(t, "unwanted")) {
		t.Run(name, func(t *testing.T) {
			c := l.vlan(t, 10)
			l.send(t, frame, marker)
			hears(t, c, "marker")
		})
	}
}

func TestTheKernelsFilterSparesPodlandOtherVLANs(t *testing.T) {
	l := newLAN(t)
	c := l.vlan(t, 10)
	for _, frame := range others(replyFrame(t, "unwanted")) {
		l.send(t, frame)
	}
	l.send(t, tagged(replyFrame(t, "marker"), 10))
	frame, aux, err := c.next()
	must(t, err)
	if !bytes.Equal(frame, replyFrame(t, "marker")) || aux.vid != 10 {
		t.Errorf("the first frame that reached the program is %x of VLAN %d", frame, aux.vid)
	}
}

// Without a VLAN, what is of any is another's.
func TestNoVLANsRepliesAreHeardWhereNoneIsMeant(t *testing.T) {
	l := newLAN(t)
	for name, frame := range others(replyFrame(t, "unwanted")) {
		switch name {
		case "no VLAN", "a priority alone", "a priority alone, with a priority":
			continue
		}
		t.Run(name, func(t *testing.T) {
			c := l.uplink(t)
			l.send(t, frame, replyFrame(t, "marker"))
			hears(t, c, "marker")
		})
	}
}

func TestAPriorityChangesNothing(t *testing.T) {
	l := newLAN(t)
	c := l.vlan(t, 10)
	l.send(t, tagged(replyFrame(t, "urgent"), 0xe000|10), tagged(replyFrame(t, "drop eligible"), 0x1000|10))
	hears(t, c, "urgent")
	hears(t, c, "drop eligible")
}

func TestVLANsOfOneUplinkAreHeardSideBySide(t *testing.T) {
	l := newLAN(t)
	conns := map[uint16]*Conn{}
	for _, vid := range []uint16{0, 1, 10, 20, 4094} {
		conns[vid] = l.vlan(t, vid)
	}
	for vid := range conns {
		frame := replyFrame(t, string(rune('A'+vid)))
		if vid != 0 {
			frame = tagged(frame, vid)
		}
		l.send(t, frame)
	}
	for vid, c := range conns {
		hears(t, c, string(rune('A'+vid)))
		if c.Frames() != 1 {
			t.Errorf("VLAN %d: %d frames heard", vid, c.Frames())
		}
	}
}

func TestAFullFrameTakesATagToo(t *testing.T) {
	l := newLAN(t)
	c := l.vlan(t, 10)
	text := string(bytes.Repeat([]byte{'x'}, 1500-ipLen-udpLen-len(reply(""))))
	l.send(t, tagged(replyFrame(t, text), 10))
	hears(t, c, text)
	d := release()
	d.Payload = reply(text)
	must(t, c.Send(d))
}

func TestAVLANThatNoFrameBearsIsRefused(t *testing.T) {
	l := newLAN(t)
	for _, vid := range []uint16{4095, 4096, 0xffff} {
		_, err := tryOpen(l.node, func() (*Conn, error) { return OpenUplink("eth1", vid) })
		_, errARP := tryOpenARP(l.node, "br0", vid)
		_, errPort := tryOpen(l.node, func() (*Conn, error) { return OpenPort("br0", vid, podMAC()) })
		if !errors.Is(err, unix.EINVAL) || !errors.Is(errARP, unix.EINVAL) || !errors.Is(errPort, unix.EINVAL) {
			t.Errorf("VLAN %d: %v, %v, %v", vid, err, errARP, errPort)
		}
	}
}

// trunk hears all that comes to lan0.
func (l *lan) trunk(t *testing.T) *Conn {
	t.Helper()
	return open(t, l.site, func() (*Conn, error) {
		file, err := openSocket("lan0", hearing{filter: []bpf.Instruction{bpf.RetConstant{Val: keepBytes}}, protocol: unix.ETH_P_ALL})
		if err != nil {
			return nil, err
		}
		return newConn(file, 0, nothingMore)
	})
}

// from returns the next frame from that MAC, and its VLAN.
func (c *Conn) from(t *testing.T, mac MAC) ([]byte, auxiliary) {
	t.Helper()
	for {
		frame, aux, err := c.next()
		must(t, err)
		if len(frame) >= etherLen && MAC(frame[6:12]) == mac {
			return frame, aux
		}
	}
}

func TestWhatIsSentBearsTheTag(t *testing.T) {
	l := newLAN(t)
	trunk := l.trunk(t)
	want, err := release().frame()
	must(t, err)
	for _, vid := range []uint16{0, 1, 10, 4094} {
		must(t, l.vlan(t, vid).Send(release()))
		frame, aux := trunk.from(t, podMAC())
		if aux.vid != vid || aux.foreign {
			t.Errorf("VLAN %d: %+v on the wire", vid, aux)
		}
		if diff := cmp.Diff(want, frame[:len(want)]); diff != "" {
			t.Errorf("VLAN %d: %s", vid, diff)
		}
	}
}

func TestATagIsPutInByteForByte(t *testing.T) {
	long := append(bytes.Repeat([]byte{1}, 12), bytes.Repeat([]byte{2}, 60)...)
	for name, c := range map[string]struct {
		frame []byte
		vid   uint16
		want  string
	}{
		"none":           {long, 0, hex.EncodeToString(long)},
		"a long frame":   {long, 10, hex.EncodeToString(long[:12]) + "8100000a" + hex.EncodeToString(long[12:])},
		"a short one":    {long[:14], 0x123, hex.EncodeToString(long[:12]) + "81000123" + "0202" + hex.EncodeToString(make([]byte, 46))},
		"the last":       {long[:60], 4094, hex.EncodeToString(long[:12]) + "81000ffe" + hex.EncodeToString(long[12:60])},
		"short, no VLAN": {long[:14], 0, hex.EncodeToString(long[:14])}, // the NIC's to pad
	} {
		before := bytes.Clone(c.frame)
		if diff := cmp.Diff(c.want, hex.EncodeToString(tag(c.frame, c.vid))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if !bytes.Equal(before, c.frame) {
			t.Errorf("%s: the frame itself has changed", name)
		}
	}
}

// vlanBridge is bridge in VLAN 10. A bridge that does not filter hands on tags as
// one does that does and is in the VLAN itself.
func (l *lan) vlanBridge(t *testing.T, vid uint16) *ARPConn {
	t.Helper()
	return openARPOn(t, l.node, "br0", vid, Claim{podIP(), podMAC()})
}

func TestOnlyTheVLANsARPIsHeard(t *testing.T) {
	l := newLAN(t)
	claim := announcementOf(podIP(), serverMAC())
	marker := probeFor(podIP(), serverMAC())
	for name, frame := range others(arpFrame(t, claim)) {
		t.Run(name, func(t *testing.T) {
			c := l.vlanBridge(t, 10)
			l.send(t, frame, tagged(arpFrame(t, marker), 10))
			hearsARP(t, c, marker)
		})
	}
}

func TestTheKernelsFilterSparesPodlandOtherVLANsARP(t *testing.T) {
	l := newLAN(t)
	c := l.vlanBridge(t, 10)
	for _, frame := range others(arpFrame(t, announcementOf(podIP(), serverMAC()))) {
		l.send(t, frame)
	}
	for name, bad := range unrelated(t) {
		if bad.filtered && name != "VLAN 20" {
			l.send(t, tagged(bad.frame, 10))
		}
	}
	marker := arpFrame(t, announcementOf(podIP(), serverMAC()))
	l.send(t, tagged(marker, 10))
	firstToProgram(t, c, marker)
}

func TestMoreClaimsThanAFilterHoldsAreOfTheVLANAllTheSame(t *testing.T) {
	l := newLAN(t)
	claims := manyClaims(2000)
	c := openARPOn(t, l.node, "br0", 10, claims...)
	last := claims[len(claims)-1].Addr
	l.send(t, tagged(arpFrame(t, announcementOf(last, serverMAC())), 20), arpFrame(t, announcementOf(last, serverMAC())))
	marker := announcementOf(claims[0].Addr, serverMAC())
	l.send(t, tagged(arpFrame(t, marker), 10))
	firstToProgram(t, c, arpFrame(t, marker))
}

// The same address is claimed in each of two VLANs: each hears its own.
func TestOneAddressInTwoVLANsIsNoConflict(t *testing.T) {
	l := newLAN(t)
	ten, twenty := l.vlanBridge(t, 10), l.vlanBridge(t, 20)
	a, b := announcementOf(podIP(), MAC{2, 0xcc, 0, 0, 0, 10}), announcementOf(podIP(), MAC{2, 0xcc, 0, 0, 0, 20})
	l.send(t, tagged(arpFrame(t, a), 10), tagged(arpFrame(t, b), 20))
	hearsARP(t, ten, a)
	hearsARP(t, twenty, b)
}

func TestARPIsSentWithTheTagAndLongEnough(t *testing.T) {
	l := newLAN(t)
	trunk := l.trunk(t)
	c := l.vlanBridge(t, 10)
	bridge := macOf(t, l.node, "br0")
	for name, p := range map[string]struct {
		sent, want ARP
		from       MAC
	}{
		"a probe":         {probeFor(podIP(), podMAC()), probeFor(podIP(), bridge), bridge},
		"an announcement": {announcementOf(podIP(), podMAC()), announcementOf(podIP(), podMAC()), podMAC()},
	} {
		must(t, c.Send(p.sent))
		var frame []byte
		var aux auxiliary
		for ok := false; !ok; {
			frame, aux = trunk.from(t, p.from)
			_, ok = parseARP(frame) // else the bridge itself has sent it
		}
		if got, _ := parseARP(frame); got != p.want || aux.vid != 10 || aux.foreign {
			t.Errorf("%s: %+v, %+v", name, got, aux)
		}
		if len(frame) != etherMinimum {
			t.Errorf("%s: %d bytes without the tag", name, len(frame))
		}
	}
}

func TestTheFiltersFitTheKernel(t *testing.T) {
	n := rtnltest.New(t)
	n.Cable(t, "eth1", rtnltest.New(t), "lan0")
	for _, vid := range []uint16{0, 1, 4094} {
		c := openARPOn(t, n, "eth1", vid, manyClaims(1300)...)
		must(t, c.Close())
	}
}
