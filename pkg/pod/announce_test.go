package pod_test

import (
	"bytes"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/pod"
)

func TestBothWaysOfAnnouncingReachTheLAN(t *testing.T) {
	s := newSite(t)
	s.attach(t, config(), pod.PortFlags{})
	addrs := []netip.Addr{netip.MustParseAddr("198.18.1.1"), netip.MustParseAddr("fd00::1:1")}
	ways := map[string]func() error{
		"from the bridge": func() error {
			return pod.Announce(t.Context(), s.node.Handle, "lan0", 0, s.spec.MAC, addrs)
		},
		"from the Pod": func() error {
			return pod.AnnounceFromPod(t.Context(), s.spec.Netns, s.spec.IfName, s.spec.MAC)
		},
	}
	for name, announce := range ways {
		t.Run(name, func(t *testing.T) {
			fd := s.lan.PacketSocket(t, "nic0", unix.ETH_P_ALL)
			if err := announce(); err != nil {
				t.Fatal(err)
			}
			want := [][]byte{arpOf(s.spec.MAC, addrs[0]), advertOf(s.spec.MAC, addrs[1])}
			for len(want) > 0 {
				frame := receive(t, fd)
				want = slices.DeleteFunc(want, func(w []byte) bool { return bytes.HasPrefix(frame, w) })
			}
		})
	}
}

// arpOf is RFC 5227's announcement as far as the target's MAC, which means
// nothing in a request.
func arpOf(mac net.HardwareAddr, addr netip.Addr) []byte {
	return slices.Concat([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac, []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 1}, mac, addr.AsSlice())
}

// advertOf is an unsolicited neighbour advertisement as far as the destination.
func advertOf(mac net.HardwareAddr, addr netip.Addr) []byte {
	return slices.Concat([]byte{0x33, 0x33, 0, 0, 0, 1}, mac, []byte{0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, unix.IPPROTO_ICMPV6, 255},
		addr.AsSlice(), netip.IPv6LinkLocalAllNodes().AsSlice(), []byte{136})
}

func receive(t *testing.T, fd int) []byte {
	t.Helper()
	limit := unix.NsecToTimeval(int64(10 * time.Second))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		t.Fatalf("nothing more was heard: %v", err)
	}
	return buf[:n]
}

// The lab's switch, and every neighbour, takes an advertisement only with the
// right checksum: the kernel of the LAN host is asked what it believes.
func TestAnAdvertisementIsBelieved(t *testing.T) {
	s := newSite(t)
	s.attach(t, config(), pod.PortFlags{})
	if err := dial(t, s.lan, s.pod, "[fd00::1:1]:80"); err != nil {
		t.Fatal(err)
	}
	moved := net.HardwareAddr{2, 0, 0, 0, 0, 0x99}
	changes := s.lan.PacketSocket(t, "nic0", unix.ETH_P_ALL)
	if err := pod.Announce(t.Context(), s.node.Handle, "lan0", 0, moved, []netip.Addr{netip.MustParseAddr("fd00::1:1")}); err != nil {
		t.Fatal(err)
	}
	for !bytes.HasPrefix(receive(t, changes), advertOf(moved, netip.MustParseAddr("fd00::1:1"))) {
	}
	// The advertisement is in the host's stack when its copy is here: the next
	// frame to the address goes to the new MAC.
	if err := s.lan.Do(func() error {
		c, err := net.Dial("udp", "[fd00::1:1]:9")
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		_, err = c.Write([]byte("where are you"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for {
		frame := receive(t, changes)
		if bytes.Contains(frame, []byte("where are you")) {
			if !bytes.HasPrefix(frame, moved) {
				t.Errorf("sent to % x", frame[:6])
			}
			return
		}
	}
}
