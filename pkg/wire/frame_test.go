package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// The checksums were summed by hand, not by this package: 4510+0023+4011 = 8544
// for IPv4, whose complement is 7abb; a465 for UDP.
func TestAFrameIsBuiltByteForByte(t *testing.T) {
	got, err := Datagram{
		SrcMAC: podMAC(), DstMAC: MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		Src: netip.IPv4Unspecified(), Dst: netip.MustParseAddr("255.255.255.255"),
		Payload: []byte{1, 1, 6, 0, 0xde, 0xad, 0xbe},
	}.frame()
	must(t, err)
	want := "ffffffffffff" + "02aa00000001" + "0800" + // Ethernet II
		"4510" + "0023" + "0000" + "0000" + "4011" + "7abb" + "00000000" + "ffffffff" +
		"0044" + "0043" + "000f" + "5b9a" + "01010600deadbe"
	if diff := cmp.Diff(want, hex.EncodeToString(got)); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsBuiltIsReadAgain(t *testing.T) {
	for name, payload := range map[string][]byte{
		"the least":     {bootReply},
		"an odd length": reply("odd"),
		"a DHCP reply":  append([]byte{bootReply}, make([]byte, 299)...),
		"a full frame":  append([]byte{bootReply}, bytes.Repeat([]byte{0xff}, 1471)...),
	} {
		t.Run(name, func(t *testing.T) {
			d := Datagram{
				SrcMAC: serverMAC(), DstMAC: podMAC(),
				Src: netip.MustParseAddr("203.0.113.254"), Dst: netip.MustParseAddr("10.1.2.3"), Payload: payload,
			}
			frame, err := d.frame()
			must(t, err)
			frame[35], frame[37] = frame[37], frame[35] // 68 to 67 becomes 67 to 68
			got, ok := parse(frame, true)
			want := Message{From: d.SrcMAC, To: d.DstMAC, Src: d.Src, Payload: payload}
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); !ok || diff != "" {
				t.Errorf("read: %t, %s", ok, diff)
			}
		})
	}
}

func TestWhatCannotBeBuiltIsRefused(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for name, c := range map[string]struct {
		d    Datagram
		want error
	}{
		"IPv6 source":      {Datagram{Src: v6, Dst: v4}, unix.EAFNOSUPPORT},
		"IPv6 destination": {Datagram{Src: v4, Dst: v6}, unix.EAFNOSUPPORT},
		"no addresses":     {Datagram{}, unix.EAFNOSUPPORT},
		"too long":         {Datagram{Src: v4, Dst: v4, Payload: make([]byte, maxUDP+1)}, unix.EMSGSIZE},
	} {
		if _, err := c.d.frame(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, wanted %v", name, err, c.want)
		}
	}
}

// A sum of zero means "none" in RFC 768, so it is sent as its complement.
func TestAZeroChecksumIsSentAsAllOnes(t *testing.T) {
	d := Datagram{Src: netip.IPv4Unspecified(), Dst: netip.IPv4Unspecified(), Payload: []byte{0, 0}}
	frame, err := d.frame()
	must(t, err)
	d.Payload = frame[40:42] // the complement of all the rest
	frame, err = d.frame()
	must(t, err)
	if !bytes.Equal(frame[40:42], []byte{0xff, 0xff}) {
		t.Errorf("checksum %x, wanted ffff", frame[40:42])
	}
}

// unwanted are frames that are no DHCP reply; filtered tells whether the
// kernel's filter sees that already.
func unwanted(tb testing.TB) map[string]struct {
	frame    []byte
	filtered bool
} {
	tb.Helper()
	good := replyFrame(tb, "unwanted")
	badIP := bytes.Clone(good)
	badIP[24] ^= 1
	badUDP := bytes.Clone(good)
	badUDP[len(badUDP)-1] ^= 1
	return map[string]struct {
		frame    []byte
		filtered bool
	}{
		"ARP":                    {edit(good, 12, 0x08, 0x06), true},
		"TCP":                    {edit(good, 23, 6), true},
		"first fragment":         {edit(good, 20, 0x20, 0), true},
		"last fragment":          {edit(good, 20, 0, 1), true},
		"to port 67":             {edit(good, 37, 67), true},
		"a request":              {edit(good, 42, 1), true},
		"VLAN 20":                {tagged(good, 20), true},
		"cut":                    {good[:40], true},
		"IPv4 checksum":          {badIP, false},
		"UDP checksum":           {badUDP, false},
		"IPv4 length":            {edit(good, 16, 0xff, 0xff), false},
		"IPv4 length too short":  {edit(good, 16, 0, 27), false},
		"UDP length":             {edit(good, 38, 0xff, 0xff), false},
		"UDP length too short":   {edit(good, 38, 0, 7), false},
		"UDP without a payload":  {edit(good, 38, 0, 8), false},
		"IPv6 in the version":    {edit(good, 14, 0x65), false},
		"more header than there": {edit(good, 14, 0x4f), true},
	}
}

func TestWhatIsNoReplyIsNotRead(t *testing.T) {
	for name, c := range unwanted(t) {
		if _, ok := parse(c.frame, true); ok {
			t.Errorf("%s: read", name)
		}
	}
}

func TestAChecksumThatIsNotSentOrNotReadyIsNotChecked(t *testing.T) {
	good := replyFrame(t, "sum")
	if _, ok := parse(edit(good, 40, 0, 0), true); !ok {
		t.Error("no checksum: not read")
	}
	wrong := edit(good, 40, 0x12, 0x34)
	if _, ok := parse(wrong, true); ok {
		t.Error("a wrong checksum: read")
	}
	if _, ok := parse(wrong, false); !ok {
		t.Error("a partial checksum: not read")
	}
}

func TestIPv4OptionsAndPaddingAreSkipped(t *testing.T) {
	good := replyFrame(t, "options")
	frame := append(bytes.Clone(good[:34]), 1, 1, 1, 0) // three no-operations and the end
	frame = append(append(frame, good[34:]...), make([]byte, 6)...)
	frame = edit(frame, 14, 0x46)
	frame = edit(frame, 17, good[17]+4)
	m, ok := parse(frame, true)
	if !ok || !bytes.Equal(m.Payload, reply("options")) {
		t.Errorf("read %t: %q", ok, m.Payload)
	}
}

// FuzzParse: whatever comes, nothing panics; what is read is a reply that lies
// in the frame, and the kernel's filter would have let it pass.
func FuzzParse(f *testing.F) {
	f.Add(replyFrame(f, "seed"), true)
	for _, c := range unwanted(f) {
		f.Add(c.frame, true)
		f.Add(c.frame, false)
	}
	vm, err := bpf.NewVM(replies())
	must(f, err)
	f.Fuzz(func(t *testing.T, frame []byte, summed bool) {
		if len(frame) >= etherLen+ipLen {
			frame = edit(frame, 0, frame[0]) // with a right IPv4 checksum: else few get past it
		}
		m, ok := parse(frame, summed)
		if !ok {
			return
		}
		if len(m.Payload) == 0 || m.Payload[0] != bootReply || !m.Src.Is4() || !bytes.Contains(frame, m.Payload) {
			t.Errorf("read %+v", m)
		}
		if _, ok := parse(frame, false); !ok {
			t.Error("read with its checksum, but not without")
		}
		if kept, err := vm.Run(frame); err != nil || kept < len(frame) {
			t.Errorf("the filter keeps %d of %d bytes: %v", kept, len(frame), err)
		}
	})
}
