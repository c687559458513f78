package ether_test

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/bpf"

	"github.com/podlan/podlan/integration/lab/ether"
)

func datagram(dstPort uint16, payload []byte) []byte {
	return ether.UDPFrame(ether.Broadcast(), net.HardwareAddr{2, 0, 0, 0, 0, 1}, ether.UDP{
		Src:     netip.MustParseAddrPort("198.18.0.9:68"),
		Dst:     netip.AddrPortFrom(netip.MustParseAddr("198.18.0.1"), dstPort),
		Payload: payload,
	})
}

func TestUDPRoundTrip(t *testing.T) {
	for _, payload := range [][]byte{nil, []byte("odd"), []byte("even"), bytes.Repeat([]byte{0xff}, 1400)} {
		f, err := ether.Parse(datagram(67, payload))
		if err != nil {
			t.Fatal(err)
		}
		u, ok := f.UDP()
		if !ok || !bytes.Equal(u.Payload, payload) || u.Dst.Port() != 67 || u.Src.String() != "198.18.0.9:68" {
			t.Errorf("got %+v, %v for %d bytes", u, ok, len(payload))
		}
	}
}

// A header's checksum over itself is zero (RFC 1071 §1).
func TestChecksumsHold(t *testing.T) {
	raw := datagram(67, []byte("odd"))
	if sum := ether.Checksum(raw[14:34]); sum != 0 {
		t.Errorf("IPv4 header: %#04x", sum)
	}
	pseudo := append(bytes.Clone(raw[26:34]), 0, 17, 0, 11)
	if sum := ether.Checksum(append(pseudo, raw[34:34+11]...)); sum != 0 {
		t.Errorf("UDP: %#04x", sum)
	}
}

func TestARPRoundTrip(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	in := ether.ARP{Op: ether.ARPRequest, SenderMAC: mac, SenderIP: netip.MustParseAddr("198.18.0.9"), TargetIP: netip.MustParseAddr("198.18.0.9")}
	f, err := ether.Parse(ether.ARPFrame(ether.Broadcast(), mac, in))
	if err != nil {
		t.Fatal(err)
	}
	out, ok := f.ARP()
	if !ok || out.SenderMAC.String() != mac.String() || out.SenderIP != in.SenderIP || !out.Gratuitous() {
		t.Errorf("got %+v, %v", out, ok)
	}
}

func TestFilter(t *testing.T) {
	vm, err := bpf.NewVM(ether.UDPTo(67))
	if err != nil {
		t.Fatal(err)
	}
	fragment := datagram(67, []byte("x"))
	fragment[21] = 1 // offset
	tcp := datagram(67, []byte("x"))
	tcp[23] = 6
	for name, c := range map[string]struct {
		frame []byte
		pass  bool
	}{
		"to a server": {datagram(67, []byte("x")), true},
		"to a client": {datagram(68, []byte("x")), false},
		"fragment":    {fragment, false},
		"TCP":         {tcp, false},
		"ARP": {ether.ARPFrame(ether.Broadcast(), net.HardwareAddr{2, 0, 0, 0, 0, 1}, ether.ARP{
			SenderMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, SenderIP: netip.IPv4Unspecified(), TargetIP: netip.IPv4Unspecified(),
		}), false},
	} {
		n, err := vm.Run(c.frame)
		if err != nil || (n > 0) != c.pass {
			t.Errorf("%s: %d bytes, %v; want pass %v", name, n, err, c.pass)
		}
	}
}

// No frame may end a capture.
func FuzzParse(f *testing.F) {
	f.Add(datagram(67, []byte("x")))
	f.Add(ether.ARPFrame(ether.Broadcast(), net.HardwareAddr{2, 0, 0, 0, 0, 1}, ether.ARP{
		SenderMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, SenderIP: netip.IPv4Unspecified(), TargetIP: netip.IPv4Unspecified(),
	}))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if frame, err := ether.Parse(b); err == nil {
			_ = frame.String()
		}
	})
}
