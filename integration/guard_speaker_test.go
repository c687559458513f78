package integration_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// speaker puts frames of its own making on the wire from a Pod's interface.
type speaker struct {
	t    *testing.T
	pod  *lab.Pod
	mac  net.HardwareAddr
	addr netip.Addr
	sock *ether.Socket
	said int
}

// newSpeaker speaks from a Pod that has eth0.
func newSpeaker(t *testing.T, pod *lab.Pod, addr netip.Addr) *speaker {
	t.Helper()
	attrs := link(t, pod.Netns, "eth0").Attrs()
	s := &speaker{t: t, pod: pod, mac: attrs.HardwareAddr, addr: addr}
	err := pod.Do(func() (err error) {
		s.sock, err = ether.Open(attrs.Index, ether.All, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.sock.Close() })
	return s
}

// say sends frames.
func (s *speaker) say(frames ...[]byte) {
	s.t.Helper()
	for _, f := range frames {
		if err := s.sock.Send(f); err != nil {
			s.t.Fatal(err)
		}
	}
}

// mark sends a frame that passes every guard, and waits until the capture has
// it: what was said before has arrived as well, or never will.
func (s *speaker) mark(heard *lab.Capture) {
	s.t.Helper()
	s.said++
	text := "mark " + strconv.Itoa(s.said) + " of " + s.mac.String()
	s.say(datagram(s.mac, s.addr, text))
	if _, err := heard.AwaitFrame(s.t.Context(), has(text)); err != nil {
		s.t.Fatalf("%s: %v", text, err)
	}
}

// has picks frames whose payload holds a text.
func has(text string) func(ether.Frame) bool {
	return func(f ether.Frame) bool { return bytes.Contains(f.Payload, []byte(text)) }
}

// heardAmong are those of the texts that some frame holds, sorted.
func heardAmong(frames []ether.Frame, texts []string) []string {
	heard := []string{}
	for _, text := range texts {
		if slices.ContainsFunc(frames, has(text)) {
			heard = append(heard, text)
		}
	}
	slices.Sort(heard)
	return heard
}

// datagram is a UDP broadcast with a text, to a port where nobody listens.
func datagram(mac net.HardwareAddr, src netip.Addr, text string) []byte {
	return ether.UDPFrame(ether.Broadcast(), mac, ether.UDP{
		Src: netip.AddrPortFrom(src, 9999), Dst: netip.AddrPortFrom(everybody(), 9999), Payload: []byte(text),
	})
}

// gratuitous is an ARP request about one's own address. ARP has no room for a
// text, but a frame has.
func gratuitous(mac net.HardwareAddr, addr netip.Addr, text string) []byte {
	frame := ether.ARPFrame(ether.Broadcast(), mac, ether.ARP{Op: ether.ARPRequest, SenderMAC: mac, SenderIP: addr, TargetIP: addr})
	return append(frame[:14+28], text...)
}

// packet4 is an IPv4 packet to a multicast group.
func packet4(mac net.HardwareAddr, src, group netip.Addr, protocol byte, payload []byte) []byte {
	to := group.As4()
	head := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 1, protocol, 0, 0}
	binary.BigEndian.PutUint16(head[2:], uint16(20+len(payload)))
	head = append(append(head, src.AsSlice()...), to[:]...)
	binary.BigEndian.PutUint16(head[10:], ether.Checksum(head))
	dst := net.HardwareAddr{0x01, 0x00, 0x5e, to[1] & 0x7f, to[2], to[3]}
	return ether.Ethernet(dst, mac, unix.ETH_P_IP, append(head, payload...))
}

// query is an IGMPv2 one (RFC 2236 §2), with a text after it.
func query(text string) []byte {
	b := append([]byte{0x11, 10, 0, 0, 0, 0, 0, 0}, text...)
	binary.BigEndian.PutUint16(b[2:], ether.Checksum(b))
	return b
}

// advertisement is a router's (RFC 4861 §4.2) that offers nothing, with a text
// in an option that nobody knows.
func advertisement(mac net.HardwareAddr, text string) []byte {
	src, all := linkLocalOf(mac), netip.MustParseAddr("ff02::1")
	option := append([]byte{253, 0}, text...)
	for len(option)%8 != 0 {
		option = append(option, 0)
	}
	option[1] = byte(len(option) / 8)
	body := append([]byte{134, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, option...)
	pseudo := append(append(src.AsSlice(), all.AsSlice()...), 0, 0, 0, byte(len(body)), 0, 0, 0, unix.IPPROTO_ICMPV6)
	binary.BigEndian.PutUint16(body[2:], ether.Checksum(append(pseudo, body...)))
	head := []byte{0x60, 0, 0, 0, 0, byte(len(body)), unix.IPPROTO_ICMPV6, 255}
	head = append(append(head, src.AsSlice()...), all.AsSlice()...)
	return ether.Ethernet(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, mac, unix.ETH_P_IPV6, append(head, body...))
}

// linkLocalOf is what a kernel makes of a MAC (RFC 4291, appendix A).
func linkLocalOf(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
}

// bootp is a DHCP message in a frame, with a text after it.
func bootp(mac net.HardwareAddr, from, to netip.AddrPort, op byte, chaddr net.HardwareAddr, ciaddr, giaddr netip.Addr, text string) []byte {
	b := make([]byte, 240, 300)
	b[0], b[1], b[2] = op, 1, 6
	copy(b[12:], ciaddr.AsSlice())
	copy(b[24:], giaddr.AsSlice())
	copy(b[28:], chaddr)
	copy(b[236:], []byte{99, 130, 83, 99})
	return ether.UDPFrame(ether.Broadcast(), mac, ether.UDP{Src: from, Dst: to, Payload: append(append(b, 255), text...)})
}

// dhcpRequest asks as a client does.
func dhcpRequest(mac, chaddr net.HardwareAddr, ciaddr netip.Addr, text string) []byte {
	none := netip.IPv4Unspecified()
	return bootp(mac, netip.AddrPortFrom(none, 68), netip.AddrPortFrom(everybody(), 67), 1, chaddr, ciaddr, none, text)
}

// dhcpReply answers as a server does, for a client that is not there.
func dhcpReply(mac net.HardwareAddr, src netip.Addr, text string) []byte {
	nobody := net.HardwareAddr{0x02, 0xee, 0xee, 0, 0, 1}
	return bootp(mac, netip.AddrPortFrom(src, 67), netip.AddrPortFrom(everybody(), 68), 2, nobody, netip.IPv4Unspecified(), netip.IPv4Unspecified(), text)
}

// goOn calls fn again and again, on a goroutine of its own, until end is called.
func goOn(ctx context.Context, fn func()) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			fn()
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// newRawOn is a speaker on a LAN host.
func newRawOn(t *testing.T, host *lab.Host) *speaker {
	t.Helper()
	s := &speaker{t: t, mac: macOf(t, host.Netns, host.Iface), addr: host.Addr.Addr()}
	err := host.Do(func() error {
		nic, err := net.InterfaceByName(host.Iface)
		if err == nil {
			s.sock, err = ether.Open(nic.Index, ether.All, nil)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.sock.Close() })
	return s
}

// datagramTo is datagram to one station.
func datagramTo(dst, mac net.HardwareAddr, src, to netip.Addr, text string) []byte {
	return ether.UDPFrame(dst, mac, ether.UDP{Src: netip.AddrPortFrom(src, 9999), Dst: netip.AddrPortFrom(to, 9999), Payload: []byte(text)})
}

// metricsAddress is where podland of a lab's node may listen: it has its
// namespace to itself.
const metricsAddress = "127.0.0.1:9469"

// metricsOf is what podland on the node tells Prometheus.
func metricsOf(t *testing.T, node *lab.Node) string {
	t.Helper()
	c := node.HTTPClient()
	resp, err := c.Get("http://" + metricsAddress + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// guardOf is what `podlan guard` shows on the node.
func guardOf(t *testing.T, node *lab.Node) leaseapi.Guard {
	t.Helper()
	var guard leaseapi.Guard
	if err := json.Unmarshal([]byte(podlan(t, node, "guard", "-o", "json")), &guard); err != nil {
		t.Fatal(err)
	}
	return guard
}
