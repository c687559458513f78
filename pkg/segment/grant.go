package segment

import (
	"errors"
	"fmt"
	"slices"

	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
)

// defaultPVID is the VLAN of ports that nobody has given another, in a bridge
// that Podlan makes: the kernel's own, and what the reference makes.
const defaultPVID = 1

// Grant is what the VLAN tables of a filtering bridge lacked for a Place and
// Podlan adds, tagged: to the uplink's, and to the bridge's own. Whoever comes
// later for the same VLAN holds the same grant, and the last one's end takes it
// back.
type Grant struct {
	Uplink []netconf.VLANRange `json:"uplink,omitempty"`
	Bridge []netconf.VLANRange `json:"bridge,omitempty"`
}

// Missing returns what the VLAN tables lack for the place; nothing where the
// bridge does not filter. What Ensure is yet to make lacks all but its default
// VLAN. The caller holds the place's locks, from here to the record that names
// the grant.
func Missing(h *rtnl.Handle, p Place) (Grant, error) {
	if !p.Filtering {
		return Grant{}, nil
	}
	bridge, uplink, err := tables(h, p.Bridge, p.Uplink)
	if err != nil {
		return Grant{}, err
	}
	var g Grant
	if p.VLAN != 0 {
		g.Bridge = lacking(bridge.has, single(p.VLAN))
	}
	if p.Uplink != "" {
		g.Uplink = lacking(uplink.has, p.carried())
	}
	return g, nil
}

// Give adds the grant to the tables of the place's bridge and uplink, once Ensure
// has made sure of them. An entry that stands by now is left as it is, so it may
// be called again.
func Give(h *rtnl.Handle, p Place, g Grant) error { return newMaker(h).give(p, g) }

func (m maker) give(p Place, g Grant) error {
	bridge, uplink, err := tables(m.Handle, p.Bridge, p.Uplink)
	if err != nil {
		return err
	}
	for _, to := range []struct {
		table  vlanTable
		ranges []netconf.VLANRange
		what   string
	}{{uplink, g.Uplink, "uplink"}, {bridge, g.Bridge, "bridge"}} {
		if to.table.index == 0 {
			continue
		}
		for _, r := range lacking(to.table.has, to.ranges) {
			if err := m.AddVLAN(to.table.index, rtnl.VLANRange(r), rtnl.VLANFlags{}, to.table.self); err != nil {
				return fmt.Errorf("VLAN %s of the %s: %w", r, to.what, err)
			}
		}
		m.step("segment.grant." + to.what)
	}
	return nil
}

// TakeBack removes the grant from the tables, and the gateways' VLAN devices that
// need it; entries that somebody has changed since, and links that are gone, are
// no error. Release comes after it. The caller holds the locks of Locks.
func TakeBack(h *rtnl.Handle, bridge, uplink string, g Grant) error {
	return newMaker(h).takeBack(bridge, uplink, g)
}

func (m maker) takeBack(bridge, uplink string, g Grant) error {
	own, port, err := tables(m.Handle, bridge, uplink)
	if errors.Is(err, rtnl.ErrNotFound) {
		return nil // gone meanwhile, and its table with it
	}
	if err != nil {
		return err
	}
	for _, r := range g.Bridge {
		for vid := int(r.First); vid <= int(r.Last); vid++ {
			err = errors.Join(err, m.closeGateway(bridge, uint16(vid)))
		}
	}
	err = errors.Join(err, m.remove(own, g.Bridge))
	m.step("segment.takeback.bridge")
	err = errors.Join(err, m.remove(port, g.Uplink))
	m.step("segment.takeback.uplink")
	return err
}

// remove takes the entries away that are as Podlan made them: tagged.
func (m maker) remove(t vlanTable, ranges []netconf.VLANRange) error {
	var err error
	for _, r := range present(t.tagged, ranges) {
		gone := m.DelVLAN(t.index, rtnl.VLANRange(r), t.self)
		if errors.Is(gone, rtnl.ErrNotFound) {
			return err
		}
		err = errors.Join(err, gone)
	}
	return err
}

// Untagged tells whether the uplink carries the VLAN without a tag; code 7 if it
// does not carry it.
func Untagged(h *rtnl.Handle, uplink string, vid uint16) (bool, error) {
	link, err := h.Link(uplink)
	if err != nil {
		return false, fmt.Errorf("uplink: %w", err)
	}
	all, err := h.VLANs(link.Attrs().Index)
	if err != nil && !errors.Is(err, rtnl.ErrNoPort) {
		return false, fmt.Errorf("uplink %s: %w", uplink, err)
	}
	for _, v := range all {
		if v.VID == vid {
			return v.Untagged, nil
		}
	}
	return false, configError("uplink", uplink, fmt.Sprintf("its bridge does not let VLAN %d through it", vid),
		fmt.Sprintf("a port that carries it (bridge vlan add dev %s vid %d); one that is named by this key gets it from Podlan", uplink, vid))
}

// filtering completes the segment on a bridge that filters.
func (m maker) filtering(seg Segment, p Place) (Segment, error) {
	info, err := m.Bridge(seg.Index)
	if err != nil {
		return Segment{}, err
	}
	if !info.VLANFiltering {
		return Segment{}, fmt.Errorf("bridge %s has stopped to filter VLANs", seg.Bridge)
	}
	seg.Filtering, seg.VLAN = true, p.VLAN
	if p.Uplink == "" || p.VLAN == 0 {
		return seg, nil
	}
	_, uplink, err := tables(m.Handle, p.Bridge, p.Uplink)
	if err != nil {
		return Segment{}, err
	}
	seg.Untagged = uplink.has[p.VLAN] && !uplink.tagged[p.VLAN]
	return seg, nil
}

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
