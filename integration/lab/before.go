package lab

import "errors"

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
	Eventually(tb, n.name+" is as before", func() error { return n.AsBefore(before) })
}
