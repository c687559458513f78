package pod

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
)

// ErrNotFiltering says that a port's VLANs mean nothing: its bridge does not tell
// them apart.
var ErrNotFiltering = errors.New("the bridge does not filter VLANs")

// VLANs are a port's, on a bridge that filters: these and no others.
type VLANs struct {
	// PVID is the VID of the Pod's untagged frames; 0: the bridge's default.
	PVID uint16
	// Tagged are those that the Pod sends and receives with their tag.
	Tagged []netconf.VLANRange
	// KeepDefault leaves the bridge's default VLAN beside PVID, for frames to the
	// Pod.
	KeepDefault bool
}

// vlanTable is what VLANs a port is in, by VID.
type vlanTable map[uint16]rtnl.VLAN

// wanted returns what the table is to be on a bridge with that default PVID, 0
// for none.
func (v VLANs) wanted(byDefault uint16) vlanTable {
	table := vlanTable{}
	set := func(vlan rtnl.VLAN) {
		if vlan.VID != 0 {
			table[vlan.VID] = vlan
		}
	}
	switch {
	case v.PVID == 0:
		set(rtnl.VLAN{VID: byDefault, PVID: true, Untagged: true})
	case v.KeepDefault:
		set(rtnl.VLAN{VID: byDefault, Untagged: true})
	}
	set(rtnl.VLAN{VID: v.PVID, PVID: true, Untagged: true})
	for _, r := range v.Tagged { // as the reference has it, also the default
		for vid := r.First; vid <= r.Last; vid++ {
			set(rtnl.VLAN{VID: vid})
		}
	}
	return table
}

// tables returns the port's VLANs as they are and as they are to be;
// ErrNotFiltering.
func (v VLANs) tables(h *rtnl.Handle, index, bridge int) (have, want vlanTable, err error) {
	info, err := filtering(h, bridge)
	if err != nil {
		return nil, nil, err
	}
	vlans, err := h.VLANs(index)
	if err != nil {
		return nil, nil, err
	}
	have = vlanTable{}
	for _, vlan := range vlans {
		have[vlan.VID] = vlan
	}
	return have, v.wanted(info.DefaultPVID), nil
}

// filtering returns what there is to know of a bridge that filters, else
// ErrNotFiltering.
func filtering(h *rtnl.Handle, bridge int) (rtnl.BridgeInfo, error) {
	info, err := h.Bridge(bridge)
	if err == nil && !info.VLANFiltering {
		err = ErrNotFiltering
	}
	return info, err
}

// fit returns ErrNotFiltering if the bridge cannot hold the port to its VLANs.
func (f PortFlags) fit(h *rtnl.Handle, bridge int) error {
	if f.VLANs == nil {
		return nil
	}
	_, err := filtering(h, bridge)
	return err
}

// set has the port in exactly these VLANs. Those that it is not to have go first.
func (v VLANs) set(h *rtnl.Handle, index, bridge int) error {
	have, want, err := v.tables(h, index, bridge)
	if err != nil {
		return err
	}
	surplus := maps.Clone(have)
	maps.DeleteFunc(surplus, func(vid uint16, _ rtnl.VLAN) bool { _, in := want[vid]; return in })
	for _, r := range surplus.runs() {
		if err := h.DelVLAN(index, r, false); err != nil {
			return err
		}
	}
	for _, r := range want.without(have).runs() {
		first := want[r.First]
		if err := h.AddVLAN(index, r, rtnl.VLANFlags{PVID: first.PVID, Untagged: first.Untagged}, false); err != nil {
			return err
		}
	}
	return nil
}

// without returns what of the table is not in the other, or is another way there.
func (t vlanTable) without(other vlanTable) vlanTable {
	left := vlanTable{}
	for vid, vlan := range t {
		if is, in := other[vid]; !in || is != vlan {
			left[vid] = vlan
		}
	}
	return left
}

// runs returns the table's VIDs, those together that lie side by side and have
// the same flags.
func (t vlanTable) runs() []rtnl.VLANRange {
	var runs []rtnl.VLANRange
	for _, vid := range t.vids() {
		last := len(runs) - 1
		before := t[vid-1]
		before.VID = vid
		if last >= 0 && runs[last].Last == vid-1 && before == t[vid] {
			runs[last].Last = vid
			continue
		}
		runs = append(runs, rtnl.VLANRange{First: vid, Last: vid})
	}
	return runs
}

func (t vlanTable) vids() []uint16 { return slices.Sorted(maps.Keys(t)) }

// difference names a VLAN in which the port is not as it is to be, "" for none.
func (v VLANs) difference(h *rtnl.Handle, index, bridge int) (string, error) {
	have, want, err := v.tables(h, index, bridge)
	if err != nil {
		return "", err
	}
	if is, ought := have.pvid(), want.pvid(); is != ought {
		return fmt.Sprintf("its PVID is %s, not %s", is, ought), nil
	}
	if missed := want.without(have).vids(); len(missed) > 0 {
		vid := missed[0]
		if is, in := have[vid]; in {
			return fmt.Sprintf("VLAN %d is %s, not %s", vid, tagging(is), tagging(want[vid])), nil
		}
		return fmt.Sprintf("it is not in VLAN %d", vid), nil
	}
	if surplus := have.without(want).vids(); len(surplus) > 0 {
		return fmt.Sprintf("it is in VLAN %d", surplus[0]), nil
	}
	return "", nil
}

func (f PortFlags) vlansStand(h *rtnl.Handle, index, bridge int) (bool, error) {
	if f.VLANs == nil {
		return true, nil
	}
	difference, err := f.VLANs.difference(h, index, bridge)
	return difference == "", err
}

// verifyVLANs returns an error that says in what the port differs from want.
func verifyVLANs(h *rtnl.Handle, index, bridge int, want *VLANs) error {
	if want == nil {
		return nil
	}
	difference, err := want.difference(h, index, bridge)
	if err == nil && difference != "" {
		err = errors.New(difference)
	}
	return err
}

// pvid returns the PVID for people.
func (t vlanTable) pvid() string {
	for _, vid := range t.vids() {
		if t[vid].PVID {
			return fmt.Sprint(vid)
		}
	}
	return "none"
}

func tagging(v rtnl.VLAN) string {
	if v.Untagged {
		return "untagged"
	}
	return "tagged"
}

// asked is the number of the VLANs whose FDB entries are asked for at most: a
// trunk may have thousands, which come and go together.
const asked = 32

// entryVLANs returns the VIDs in which the port has its FDB entries, of many the
// first and the last; none on a bridge that tells none apart.
func (f PortFlags) entryVLANs(h *rtnl.Handle, bridge int) ([]uint16, error) {
	if f.VLANs == nil {
		return nil, nil
	}
	info, err := filtering(h, bridge)
	if err != nil {
		return nil, err
	}
	vids := f.VLANs.wanted(info.DefaultPVID).vids()
	if len(vids) > asked {
		vids = slices.Concat(vids[:asked/2], vids[len(vids)-asked/2:])
	}
	return vids, nil
}
