package segment

import (
	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/rtnl"
)

// Piece is something that Podlan made, or left unfinished, for Locks and Release.
type Piece struct {
	// Bridge is the bridge's name, "" for a sub-interface that is in none. It may
	// be others', with a gateway's VLAN device of ours on it.
	Bridge string
	// Uplink is the sub-interface of ours, in the bridge or alone, else "".
	Uplink string
}

// Made lists what bears Podlan's alias or a reserved temporary name, unfinished
// links first. What no record names, neither as its bridge nor as its uplink, is
// an orphan: lock it (Locks), look at the records again, Release.
func Made(h *rtnl.Handle) ([]Piece, error) {
	links, err := h.Links()
	if err != nil {
		return nil, err
	}
	byIndex := map[int]netlink.Link{}
	for _, l := range links {
		byIndex[l.Attrs().Index] = l
	}
	var left, made []Piece
	known := map[Piece]bool{}
	for _, l := range links {
		switch p := piece(l, byIndex); {
		case p == Piece{} || known[p]:
		case reserved(p.Bridge):
			left = append(left, p)
		default:
			made = append(made, p)
			known[p] = true
		}
	}
	return append(left, made...), nil
}

// piece returns what Release would have to be told about the link, nothing if it
// is others' or goes with another piece.
func piece(link netlink.Link, byIndex map[int]netlink.Link) Piece {
	attrs := link.Attrs()
	switch {
	case reserved(attrs.Name):
		return Piece{Bridge: attrs.Name}
	case attrs.Alias != Alias(attrs.Name):
		return Piece{}
	case link.Type() == "bridge":
		for _, l := range byIndex {
			if a := l.Attrs(); a.MasterIndex == attrs.Index && l.Type() == "vlan" && a.Alias == Alias(a.Name) {
				return Piece{Bridge: attrs.Name, Uplink: a.Name}
			}
		}
		return Piece{Bridge: attrs.Name}
	case link.Type() != "vlan":
		return Piece{}
	}
	if below := byIndex[attrs.ParentIndex]; below != nil && below.Type() == "bridge" {
		return Piece{Bridge: below.Attrs().Name}
	}
	if master := byIndex[attrs.MasterIndex]; master != nil && !reserved(master.Attrs().Name) {
		return Piece{}
	}
	for _, l := range byIndex {
		if a := l.Attrs(); a.ParentIndex == attrs.Index && l.Type() == "vlan" && !reserved(a.Name) {
			return Piece{} // the one on it takes it along
		}
	}
	return Piece{Uplink: attrs.Name}
}
