package segment

import (
	"errors"
	"slices"

	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
)

// defaultPVID is the VLAN of ports that nobody has given another, in a bridge
// that Podlan makes: the kernel's own, and what the reference makes.
const defaultPVID = 1

// vlanTable is the VLAN table of a bridge (self) or of its uplink. Index is 0
// where there is none yet: then it has what a new one would.
type vlanTable struct {
	index  int
	self   bool
	has    map[uint16]bool
	tagged map[uint16]bool // the entries that are neither PVID nor untagged
}

// tables reads the bridge's own table and its uplink's.
func tables(h *rtnl.Handle, bridge, uplink string) (own, port vlanTable, err error) {
	fresh := map[uint16]bool{defaultPVID: true}
	own, port = vlanTable{has: fresh}, vlanTable{has: fresh}
	link, err := h.Link(bridge)
	if errors.Is(err, rtnl.ErrNotFound) {
		return own, port, nil
	}
	if err != nil {
		return own, port, err
	}
	index := link.Attrs().Index
	if own, err = table(h, index); err != nil {
		return own, port, err
	}
	own.self = true
	info, err := h.Bridge(index)
	if err != nil {
		return own, port, err
	}
	port.has = map[uint16]bool{info.DefaultPVID: true}
	if uplink == "" {
		return own, port, nil
	}
	up, err := h.Link(uplink)
	if errors.Is(err, rtnl.ErrNotFound) || err == nil && up.Attrs().MasterIndex != index {
		return own, port, nil // not its port, or not yet
	}
	if err != nil {
		return own, port, err
	}
	port, err = table(h, up.Attrs().Index)
	return own, port, err
}

func table(h *rtnl.Handle, index int) (vlanTable, error) {
	t := vlanTable{index: index, has: map[uint16]bool{}, tagged: map[uint16]bool{}}
	all, err := h.VLANs(index)
	for _, v := range all {
		t.has[v.VID] = true
		t.tagged[v.VID] = !v.PVID && !v.Untagged
	}
	return t, err
}

// carried are the VLANs that the uplink has to carry, ascending.
func (p Place) carried() []netconf.VLANRange {
	all := slices.Clone(p.Trunk)
	if p.VLAN != 0 {
		all = append(all, netconf.VLANRange{First: p.VLAN, Last: p.VLAN})
	}
	slices.SortFunc(all, func(a, b netconf.VLANRange) int { return int(a.First) - int(b.First) })
	return all
}

func single(vid uint16) []netconf.VLANRange { return []netconf.VLANRange{{First: vid, Last: vid}} }

// lacking are those of the ranges that are not had, as few ranges as can be.
func lacking(has map[uint16]bool, ranges []netconf.VLANRange) []netconf.VLANRange {
	return pick(ranges, func(vid uint16) bool { return !has[vid] })
}

// present are those of the ranges that are had.
func present(has map[uint16]bool, ranges []netconf.VLANRange) []netconf.VLANRange {
	return pick(ranges, func(vid uint16) bool { return has[vid] })
}

func pick(ranges []netconf.VLANRange, take func(vid uint16) bool) []netconf.VLANRange {
	var picked []netconf.VLANRange
	for _, r := range ranges {
		for vid := int(r.First); vid <= int(r.Last); vid++ {
			last := len(picked) - 1
			switch {
			case !take(uint16(vid)):
			case last >= 0 && int(picked[last].Last) == vid-1:
				picked[last].Last++
			default:
				picked = append(picked, single(uint16(vid))...)
			}
		}
	}
	return picked
}
