package wire

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
)

// arpOn returns how ARP of the VLAN is heard on the link.
func arpOn(link string, vid uint16) (arpPlace, error) {
	h, err := rtnl.Here()
	if err != nil {
		return arpPlace{}, err
	}
	defer h.Close()
	l, err := h.Link(link)
	if errors.Is(err, rtnl.ErrNotFound) {
		return arpPlace{}, fmt.Errorf("%w: %w", ErrNoLink, err)
	}
	if err != nil {
		return arpPlace{}, err
	}
	if vid != 0 && l.Type() == "bridge" {
		if vid, err = tagOn(h, l.Attrs().Index, vid); err != nil {
			return arpPlace{}, err
		}
	}
	return arpPlace{tag: vid, all: vid != 0 || l.Attrs().MasterIndex != 0}, nil
}

// tagOn returns the tag that the VLAN's frames bear on the bridge: its own VID,
// or none where it filters and takes that VLAN's frames for itself without. One
// that is not in the VLAN hears nothing of it, and one that has two VLANs
// untagged cannot tell them apart.
func tagOn(h *rtnl.Handle, bridge int, vid uint16) (uint16, error) {
	info, err := h.Bridge(bridge)
	if err != nil || !info.VLANFiltering {
		return vid, err
	}
	table, err := h.VLANs(bridge)
	if err != nil {
		return 0, err
	}
	return ownTag(table, vid)
}

// ownTag reads a bridge's own table.
func ownTag(table []rtnl.VLAN, vid uint16) (uint16, error) {
	i := slices.IndexFunc(table, func(v rtnl.VLAN) bool { return v.VID == vid })
	switch {
	case i < 0:
		return 0, errors.New("the bridge itself is not in this VLAN")
	case !table[i].Untagged:
		return vid, nil
	case !table[i].PVID || slices.ContainsFunc(table, func(v rtnl.VLAN) bool { return v.Untagged && v.VID != vid }):
		return 0, errors.New("the bridge itself has this VLAN untagged, and cannot tell it from others")
	}
	return 0, nil
}

// inVLAN leaves a port of a bridge in that VLAN alone, untagged. 0: in those that
// the bridge gives every port.
func inVLAN(h *rtnl.Handle, port, bridge int, vid uint16) error {
	if vid == 0 {
		return nil
	}
	info, err := h.Bridge(bridge)
	if err != nil {
		return err
	}
	if !info.VLANFiltering { // the frame would reach all of them
		return fmt.Errorf("the bridge does not filter VLANs: %w", unix.EINVAL)
	}
	table, err := h.VLANs(port)
	if err != nil {
		return err
	}
	for _, v := range table {
		if v.VID != vid {
			err = errors.Join(err, h.DelVLAN(port, rtnl.VLANRange{First: v.VID, Last: v.VID}, false))
		}
	}
	only := rtnl.VLANRange{First: vid, Last: vid}
	return errors.Join(err, h.AddVLAN(port, only, rtnl.VLANFlags{PVID: true, Untagged: true}, false))
}
