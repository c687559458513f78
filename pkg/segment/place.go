package segment

import (
	"context"

	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
)

// Place says where a segment is: what configuration and kernel determine before
// anything is made, so that it can stand on record first.
type Place struct {
	// Bridge is the bridge's name, <bridge>-<vid> over a sub-interface.
	Bridge string
	// Uplink is the bridge's port to the LAN, "" where the configuration names
	// none. Over a sub-interface it is that one's name.
	Uplink string
	// Parent is the link on which the sub-interface stands or is to be made; "":
	// no sub-interface.
	Parent string
	// VLAN and OuterVLAN are the sub-interface's tags where Parent is set. On a
	// bridge that filters, VLAN is the PVID of the Pod's port (0: the bridge's
	// default), Trunk what it carries tagged.
	VLAN, OuterVLAN uint16
	Trunk           []netconf.VLANRange
	KeepDefault     bool
	// Filtering: the bridge tells VLANs apart.
	Filtering bool
}

// Grant is what the VLAN tables of a filtering bridge lacked for a Place and
// Podlan adds: to the uplink's, and to the bridge's own. Whoever comes later for
// the same VLAN holds the same grant, and the last one's end takes it back.
type Grant struct {
	Uplink []netconf.VLANRange `json:"uplink,omitempty"`
	Bridge []netconf.VLANRange `json:"bridge,omitempty"`
}

// Resolve decides the mode and the names; it changes nothing. Code 7 for what
// the configuration must change.
func Resolve(_ context.Context, _ *rtnl.Handle, spec Spec) (Place, error) {
	return Place{Bridge: spec.Bridge, Uplink: spec.Uplink}, nil
}

// Locks names what Ensure, Missing and Give need locked across processes
// (attachment.Store.LockBridge), in the order in which to lock.
func (p Place) Locks() []string { return []string{p.Bridge} }

// Locks names what Release, TakeBack and CloseGateway need locked, in the order
// in which to lock: the bridge first. For what Made lists too.
func Locks(_ *rtnl.Handle, bridge, _ string) ([]string, error) { return []string{bridge}, nil }

// Missing returns what the VLAN tables lack for the place; nothing where the
// bridge does not filter. What Ensure is yet to make lacks all but its default
// VLAN. The caller holds the place's locks, from here to the record that names
// the grant.
func Missing(_ *rtnl.Handle, _ Place) (Grant, error) { return Grant{}, nil }

// Give adds the grant to the tables of the place's bridge and uplink, once Ensure
// has made sure of them. An entry that stands by now is left as it is, so it may
// be called again.
func Give(_ *rtnl.Handle, _ Place, _ Grant) error { return nil }

// TakeBack removes the grant from the tables; entries that somebody has changed
// since, and links that are gone, are no error. Release comes after it.
func TakeBack(_ *rtnl.Handle, _, _ string, _ Grant) error { return nil }

// Untagged tells whether the uplink carries the VLAN without a tag; code 7 if it
// does not carry it.
func Untagged(_ *rtnl.Handle, _ string, _ uint16) (bool, error) { return false, nil }

// Piece is something that Podlan made, or left unfinished, for Locks and Release.
type Piece struct {
	// Bridge is the bridge's name, "" for a sub-interface that is in none.
	Bridge string
	// Uplink is the bridge's port to the LAN, as far as it can be told.
	Uplink string
}

// Made lists what bears Podlan's alias or a reserved temporary name. What no
// record names is an orphan: lock it (Locks), look at the records again,
// Release.
func Made(_ *rtnl.Handle) ([]Piece, error) { return nil, nil }

// CloseGateway removes the VLAN device that Gateway made on a filtering bridge,
// once no attachment of the bridge is in that VLAN any more.
func CloseGateway(_ *rtnl.Handle, _ string, _ uint16) error { return nil }
