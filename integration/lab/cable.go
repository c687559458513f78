package lab

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// plugNode connects a node to the switch and returns the switch's end.
func (s *lanSwitch) plugNode(ns *Netns, opts NodeOptions) (string, error) {
	if opts.Cable[0] == "" {
		return s.plug(ns, opts.Uplink, opts.UplinkMAC, opts.MTU)
	}
	port := s.nextPort()
	if err := ns.borrow(opts.Cable[0], opts.Uplink); err != nil {
		return "", err
	}
	if err := s.ns.borrow(opts.Cable[1], port); err != nil {
		return "", err
	}
	return port, s.ns.enslave(port, switchBridge)
}

// borrow moves a NIC of the machine's own namespace into this one, sets it up
// under another name, and brings it back when the lab ends.
func (n *Netns) borrow(nic, as string) error {
	link, err := netlink.LinkByName(nic)
	if err != nil {
		return fmt.Errorf("NIC %s: %w", nic, err)
	}
	if err := netlink.LinkSetNsFd(link, n.FD()); err != nil {
		return fmt.Errorf("move NIC %s to %s: %w", nic, n.name, err)
	}
	rename := func(from, to string) error {
		return n.WithLink(from, func(h *netlink.Handle, link netlink.Link) error {
			if err := h.LinkSetDown(link); err != nil {
				return err
			}
			return h.LinkSetName(link, to)
		})
	}
	if err := rename(nic, as); err != nil {
		return err
	}
	n.lab.onClose(func() {
		if err := rename(as, nic); err != nil {
			n.lab.tb.Logf("lab: NIC %s: %v", nic, err)
		}
		// It goes home with its namespace; this is sooner.
		_ = n.WithLink(nic, func(h *netlink.Handle, link netlink.Link) error { return h.LinkSetNsPid(link, 1) })
	})
	return n.linkUp(as)
}
