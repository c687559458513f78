package segment

import (
	"errors"
	"fmt"

	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
)

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
