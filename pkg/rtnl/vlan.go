package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// VLAN is one VID in the table of a bridge port, or of the bridge itself.
type VLAN struct {
	VID uint16
	// PVID: frames that come in without a tag are in this VLAN.
	PVID bool
	// Untagged: frames leave without a tag.
	Untagged bool
}

// VLANRange are the VIDs from First to Last, both among them.
type VLANRange struct{ First, Last uint16 }

// VLANFlags are a new entry's; of one that stands they replace what it has.
type VLANFlags struct{ PVID, Untagged bool }

// From linux/if_bridge.h, for RTM_GETVLAN (Linux 5.6).
const (
	vlanEntry      = 1 // BRIDGE_VLANDB_ENTRY
	vlanEntryInfo  = 1 // BRIDGE_VLANDB_ENTRY_INFO: struct bridge_vlan_info
	vlanEntryRange = 2 // BRIDGE_VLANDB_ENTRY_RANGE: the last VID
)

// VLANs returns the VLAN table of a bridge port, or a bridge's own, ascending.
// ErrNotFound if there is no such link, ErrNoPort if it is neither; empty where
// the kernel cannot filter VLANs.
func (h *Handle) VLANs(index int) ([]VLAN, error) {
	req := h.request(unix.RTM_GETVLAN, unix.NLM_F_DUMP)
	req.AddData(vlanMessage(index))
	msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWVLAN)
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return h.vlansByLink(index)
	case errors.Is(err, unix.EINVAL):
		return nil, fmt.Errorf("VLANs of link %d: %w", index, ErrNoPort)
	case err != nil:
		return nil, fmt.Errorf("VLANs of link %d: %w", index, typed(err))
	}
	var all []VLAN
	for _, m := range msgs {
		if len(m) < vlanMessage(0).Len() || int(binary.NativeEndian.Uint32(m[4:])) != index {
			continue
		}
		eachAttribute(m[vlanMessage(0).Len():], func(kind uint16, value []byte) bool {
			if kind == vlanEntry {
				all = append(all, entries(nested(value))...)
			}
			return true
		})
	}
	return all, nil
}

// entries reads one BRIDGE_VLANDB_ENTRY: a VID, or a range with equal flags.
func entries(attrs map[uint16][]byte) []VLAN {
	info := attrs[vlanEntryInfo]
	if len(info) < nl.SizeofBridgeVlanInfo {
		return nil
	}
	flags, first := binary.NativeEndian.Uint16(info), binary.NativeEndian.Uint16(info[2:])
	last := max(first, uint16(number(attrs[vlanEntryRange])))
	var all []VLAN
	for vid := int(first); vid <= int(last); vid++ {
		all = append(all, vlanOf(uint16(vid), flags))
	}
	return all
}

func vlanOf(vid, flags uint16) VLAN {
	return VLAN{VID: vid, PVID: flags&nl.BRIDGE_VLAN_INFO_PVID != 0, Untagged: flags&nl.BRIDGE_VLAN_INFO_UNTAGGED != 0}
}

// vlansByLink asks as kernels before 5.6 want it: a dump of all ports.
func (h *Handle) vlansByLink(index int) ([]VLAN, error) {
	if _, err := h.attributes(index); err != nil {
		return nil, err
	}
	var all []VLAN
	err := retry(func() error {
		tables, err := h.lib.BridgeVlanList()
		all = nil
		for _, v := range tables[int32(index)] {
			all = append(all, vlanOf(v.Vid, v.Flags))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("VLANs of link %d: %w", index, err)
	}
	return all, nil
}

// AddVLAN puts VIDs into a port's table, or with self into a bridge's own. A
// range may have no PVID.
func (h *Handle) AddVLAN(index int, r VLANRange, f VLANFlags, self bool) error {
	var flags uint16
	if f.PVID {
		flags |= nl.BRIDGE_VLAN_INFO_PVID
	}
	if f.Untagged {
		flags |= nl.BRIDGE_VLAN_INFO_UNTAGGED
	}
	if err := h.changeVLANs(unix.RTM_SETLINK, index, r, flags, self); err != nil {
		return fmt.Errorf("add VLAN %s to link %d: %w", r, index, err)
	}
	return nil
}

// DelVLAN takes VIDs out of a port's table, or with self out of a bridge's own.
// Those that are not in it are no error.
func (h *Handle) DelVLAN(index int, r VLANRange, self bool) error {
	if err := h.changeVLANs(unix.RTM_DELLINK, index, r, 0, self); err != nil {
		return fmt.Errorf("remove VLAN %s from link %d: %w", r, index, err)
	}
	return nil
}

func (h *Handle) changeVLANs(kind, index int, r VLANRange, flags uint16, self bool) error {
	req := h.request(kind, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_BRIDGE)
	msg.Index = int32(index)
	req.AddData(msg)
	spec := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	if self {
		spec.AddRtAttr(nl.IFLA_BRIDGE_FLAGS, nl.Uint16Attr(nl.BRIDGE_FLAGS_SELF))
	}
	info := func(vid, flags uint16) {
		b := binary.NativeEndian.AppendUint16(nil, flags)
		spec.AddRtAttr(nl.IFLA_BRIDGE_VLAN_INFO, binary.NativeEndian.AppendUint16(b, vid))
	}
	if r.First == r.Last {
		info(r.First, flags)
	} else {
		info(r.First, flags|nl.BRIDGE_VLAN_INFO_RANGE_BEGIN)
		info(r.Last, flags|nl.BRIDGE_VLAN_INFO_RANGE_END)
	}
	req.AddData(spec)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return typed(err)
}

func (r VLANRange) String() string {
	if r.First == r.Last {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// vlanMessage is struct br_vlan_msg about the link of that index.
type vlanMessage int

func (vlanMessage) Len() int { return 8 }

func (m vlanMessage) Serialize() []byte {
	b := make([]byte, m.Len())
	b[0] = unix.AF_BRIDGE
	binary.NativeEndian.PutUint32(b[4:], uint32(m))
	return b
}
