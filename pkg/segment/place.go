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

// Locks names what Ensure and Release need locked across processes, in the order
// in which to lock.
func (p Place) Locks() []string { return []string{p.Bridge} }
