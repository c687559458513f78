package segment

import (
	"errors"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/rtnl"
)

// Locks names what Missing, Ensure and Give need locked across processes
// (attachment.Store.LockBridge), in the order in which to lock: the bridge's
// name, the temporary names' of its making, the sub-interface's, and that of the
// 802.1ad device, on which several bridges' may stand.
func (p Place) Locks() []string {
	locks := []string{p.Bridge, temporary(p.Bridge, tempBridge)}
	if p.Parent != "" {
		locks = append(locks, p.Uplink)
	}
	if p.OuterVLAN != 0 {
		locks = append(locks, deviceName(p.Parent, p.OuterVLAN))
	}
	return slices.Compact(locks)
}

// Locks names what Release, TakeBack, Gateway and CloseGateway need locked, in
// the order in which to lock: the bridge first, if there is one. For what Made
// lists too.
func Locks(h *rtnl.Handle, bridge, uplink string) ([]string, error) {
	var locks []string
	switch {
	case reserved(bridge):
		return []string{temporaryLock(bridge)}, nil
	case bridge != "":
		locks = []string{bridge, temporary(bridge, tempBridge)}
	}
	for name := uplink; name != ""; {
		vlan, err := ourVLAN(h, name)
		if err != nil {
			return nil, err
		}
		if vlan == nil {
			break
		}
		locks = append(locks, name)
		if name, err = nameOf(h, vlan.ParentIndex); err != nil {
			return nil, err
		}
	}
	return locks, nil
}

// ourVLAN returns the VLAN device of that name if Podlan made it, else nil.
func ourVLAN(h *rtnl.Handle, name string) (*netlink.Vlan, error) {
	link, err := h.Link(name)
	if errors.Is(err, rtnl.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if vlan, ok := link.(*netlink.Vlan); ok && vlan.Alias == Alias(name) {
		return vlan, nil
	}
	return nil, nil
}

// nameOf returns "" for a link that is not there, and for none: 0.
func nameOf(h *rtnl.Handle, index int) (string, error) {
	if index == 0 {
		return "", nil
	}
	link, err := h.LinkByIndex(index)
	if errors.Is(err, rtnl.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return link.Attrs().Name, nil
}
