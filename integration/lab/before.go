package lab

import (
	"errors"
	"os"
)

// AsBefore tells how the namespace differs from what it was, VLAN tables
// included; nil if it does not.
func (n *Netns) AsBefore(before Snapshot) error {
	now, err := n.TakeSnapshot()
	if err != nil {
		return err
	}
	if diff := before.Diff(now); diff != "" {
		return errors.New(diff)
	}
	return nil
}

// AwaitAsBefore waits until the namespace is as it was: podland's socket on an
// uplink lingers for a second.
func (n *Netns) AwaitAsBefore(tb TB, before Snapshot) {
	tb.Helper()
	if err := Until(tb.Context(), func() error { return n.AsBefore(before) }); err != nil {
		tb.Fatalf("%s is not as before: %v\npacket sockets, of which each may keep a link promiscuous:\n%s", n.name, err, n.packetSockets())
	}
}

// packetSockets lists them as the kernel does (proc(5), /proc/net/packet).
func (n *Netns) packetSockets() (list string) {
	err := n.Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/packet")
		list = string(b)
		return err
	})
	if err != nil {
		return err.Error()
	}
	return list
}
