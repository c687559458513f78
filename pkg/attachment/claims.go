package attachment

import (
	"slices"

	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/segment"
)

// Claim returns the record with its grant: what the bridge's VLAN tables lack
// for it, and what attachments before it have been granted and it needs too, so
// that whoever ends last takes it back. The caller holds the segment's locks.
func (s *Store) Claim(rec Record, missing segment.Grant) Record {
	if !rec.Filtering {
		return rec
	}
	// A record that cannot be read claims for itself; at worst a VID stays.
	others, _, _ := s.others(rec.Bridge, rec.Key)
	claimed := holdingOf(missing)
	for _, other := range others {
		claimed.add(other.Granted)
	}
	claimed.keep(rec.needs())
	rec.Granted = claimed.grant()
	return rec
}

// unclaimed is what of the record's grant none of the others needs.
func unclaimed(rec Record, others []Record) segment.Grant {
	left := holdingOf(rec.Granted)
	for _, other := range others {
		left.remove(other.needs())
	}
	return left.grant()
}

// Owed returns what of the record's grant is missing.
func (r Record) Owed(missing segment.Grant) segment.Grant {
	owed := holdingOf(r.Granted)
	owed.keep(missing)
	return owed.grant()
}

// needs is what the record's port needs of its bridge's VLAN tables.
func (r Record) needs() segment.Grant {
	if !r.Filtering {
		return segment.Grant{}
	}
	var own []netconf.VLANRange
	if r.VLAN != 0 {
		own = []netconf.VLANRange{{First: r.VLAN, Last: r.VLAN}}
	}
	return segment.Grant{Uplink: slices.Concat(own, r.Trunk), Bridge: own}
}

// holding is a Grant to reckon with.
type holding struct{ uplink, bridge vids }

func holdingOf(g segment.Grant) *holding {
	h := &holding{}
	h.add(g)
	return h
}

func (h *holding) add(g segment.Grant) { h.uplink.set(g.Uplink, true); h.bridge.set(g.Bridge, true) }

func (h *holding) remove(g segment.Grant) {
	h.uplink.set(g.Uplink, false)
	h.bridge.set(g.Bridge, false)
}

// keep removes all that is not in g.
func (h *holding) keep(g segment.Grant) {
	only := holdingOf(g)
	for vid := range h.uplink {
		h.uplink[vid] = h.uplink[vid] && only.uplink[vid]
		h.bridge[vid] = h.bridge[vid] && only.bridge[vid]
	}
}

func (h *holding) grant() segment.Grant {
	return segment.Grant{Uplink: h.uplink.ranges(), Bridge: h.bridge.ranges()}
}

// vids is a set of VIDs.
type vids [4096]bool

func (v *vids) set(ranges []netconf.VLANRange, to bool) {
	for _, r := range ranges {
		for vid := int(r.First); vid <= int(r.Last) && vid < len(v); vid++ {
			v[vid] = to
		}
	}
}

// ranges returns the set, nil if it is empty.
func (v *vids) ranges() []netconf.VLANRange {
	var ranges []netconf.VLANRange
	for vid, in := range v {
		switch last := len(ranges) - 1; {
		case !in:
		case last >= 0 && int(ranges[last].Last) == vid-1:
			ranges[last].Last++
		default:
			ranges = append(ranges, netconf.VLANRange{First: uint16(vid), Last: uint16(vid)})
		}
	}
	return ranges
}
