package vlan_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
)

// question is an ARP request that every host hears, with a mark behind it.
func question(mac net.HardwareAddr, sender, target netip.Addr, mark string) []byte {
	frame := ether.ARPFrame(ether.Broadcast(), mac, ether.ARP{Op: ether.ARPRequest, SenderMAC: mac, SenderIP: sender, TargetIP: target})
	return append(frame, mark...)
}

// bears picks the frame with the mark, whatever its tags.
func bears(mark string) func(ether.Frame) bool {
	return func(f ether.Frame) bool { return bytes.HasSuffix(f.Payload, []byte(mark)) }
}

// ofMark returns the frames of the capture that bear the mark.
func ofMark(c *lab.Capture, mark string) []ether.Frame {
	return slices.DeleteFunc(c.All(), func(f ether.Frame) bool { return !bears(mark)(f) })
}

// say sends frames by an interface, in this order. It keeps to one processor: a
// veth's frames wait in the queue of the one that sent them, so that what comes
// last has let all others pass.
func say(t *testing.T, in *lab.Netns, iface string, frames ...[]byte) {
	t.Helper()
	if err := onFirstCPU(func() error { return in.Send(iface, frames...) }); err != nil {
		t.Fatalf("%s says: %v", in.Name(), err)
	}
}

func onFirstCPU(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("processors: %w", err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if before.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("processors: %w", err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &before) }()
	return f()
}

// awaitMark waits until the capture has the frame.
func awaitMark(t *testing.T, c *lab.Capture, mark string) ether.Frame {
	t.Helper()
	f, err := c.AwaitFrame(t.Context(), bears(mark))
	if err != nil {
		for _, f := range c.All() {
			t.Logf("heard: %s %q", f, f.Payload[max(0, len(f.Payload)-30):])
		}
		t.Fatalf("%q: %v", mark, err)
	}
	return f
}

// wears checks a frame's tags.
func wears(f ether.Frame, tags ...ether.Tag) error {
	if !slices.Equal(f.Tags(), tags) {
		return fmt.Errorf("%s has the tags %v, want %v", f, f.Tags(), tags)
	}
	return nil
}

// tagsOf are those of a VLAN on a trunk, none for the untagged one.
func tagsOf(vid uint16) []ether.Tag {
	if vid == 0 {
		return nil
	}
	return []ether.Tag{{TPID: ether.Dot1Q, VID: vid}}
}

// from picks the frames of a MAC.
func from(mac net.HardwareAddr) func(ether.Frame) bool {
	return func(f ether.Frame) bool { return bytes.Equal(f.Src, mac) }
}
