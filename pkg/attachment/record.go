// Package attachment keeps the record of each attachment and takes one down
// again: one code for DEL, GC and podland. It touches the state folder and,
// through segment, pod, guard and leg, only what the record names.
package attachment

import (
	"net"
	"net/netip"
	"time"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/segment"
)

// Version of the record's format. A reader refuses a newer one.
const Version = 1

// State tells how far an attachment's ADD has come.
type State string

// The states.
const (
	// Intent: ADD is under way, or died; garbage once Deadline has passed.
	Intent State = "intent"
	// Ready: ADD has finished.
	Ready State = "ready"
)

// Order is one of the design's two orders of an ADD.
type Order string

// The orders.
const (
	// LeaseFirst: the address is known before the port forwards.
	LeaseFirst Order = "lease-first"
	// PortFirst: IPAM needs a forwarding port.
	PortFirst Order = "port-first"
)

// Key names an attachment, as CNI does.
type Key = leaseapi.Key

// HostEnd returns the name of the host end of the attachment's port: 15
// characters, the kernel's limit.
func HostEnd(key Key, guarded bool) string {
	prefix := rtnl.UnguardedPrefix
	if guarded {
		prefix = rtnl.GuardedPrefix
	}
	return prefix + key.Hash()[:9]
}

// Record is what the node must know of an attachment to restore it or to take
// it down. The plugin writes it, podland reads it.
type Record struct {
	Version int `json:"version"`
	Key
	State State `json:"state"`
	Order Order `json:"order"`

	// BootID and Deadline (time since boot) end an intent's life.
	BootID   string        `json:"bootID"`
	Deadline time.Duration `json:"deadlineNS"`

	// Netns is the Pod's namespace as the runtime named it, and the inode that
	// was there. Alive = the path still has that inode.
	Netns      string `json:"netns"`
	NetnsInode uint64 `json:"netnsInode"`

	Bridge string `json:"bridge"`
	Uplink string `json:"uplink,omitempty"`
	// Parent and OuterVLAN are of the sub-interface that is the uplink.
	Parent    string `json:"parent,omitempty"`
	OuterVLAN uint16 `json:"outerVLAN,omitempty"`
	// VLAN is the sub-interface's VID; on a bridge that filters, the PVID of the
	// port, 0 for the bridge's default, beside the VIDs of Trunk.
	VLAN        uint16              `json:"vlan,omitempty"`
	Trunk       []netconf.VLANRange `json:"trunk,omitempty"`
	KeepDefault bool                `json:"keepDefault,omitempty"`
	Filtering   bool                `json:"filtering,omitempty"`
	// Granted is what Podlan has added to the bridge's VLAN tables for it: the
	// last one that holds a VID takes it back.
	Granted segment.Grant `json:"granted,omitzero"`

	HostEnd string         `json:"hostEnd"`
	MAC     string         `json:"mac"`
	Guard   bool           `json:"guard"`
	DHCP    bool           `json:"dhcpClient,omitempty"` // the guard lets the Pod's own DHCP client out
	Hairpin bool           `json:"hairpin,omitempty"`
	Isolate bool           `json:"isolated,omitempty"`
	Opened  netconf.Guard  `json:"opened,omitzero"` // what the conf lets out beyond MAC and addresses
	Addrs   []netip.Prefix `json:"addresses,omitempty"`
	Masq    bool           `json:"ipMasq,omitempty"`
	IPAM    string         `json:"ipam,omitempty"`

	// Service is the Pod's way to Services and to its node, with the networks that
	// its end was given; NodeIP is what the node shows for it.
	Service netconf.Service `json:"service,omitzero"`
	NodeIP  netip.Addr      `json:"nodeIP,omitzero"`
	// Leg is the node's device on the Pod's segment; "" until anything is made of
	// the node's side. LegLeaves: that is being taken away, or has been.
	Leg       string  `json:"leg,omitempty"`
	LegLeaves bool    `json:"legLeaves,omitempty"`
	PodSide   PodSide `json:"podSide,omitzero"`

	// Lease is what podlan-dhcp asks podland for on behalf of this port; nil
	// under another IPAM plugin. By it podland takes up a lease whose file is
	// lost.
	Lease *leaseapi.Request `json:"lease,omitempty"`
	// Closed is why podland has closed the port: its lease is lost. Empty while
	// it is open.
	Closed string `json:"closed,omitempty"`
}

// HardwareAddr returns the Pod end's MAC, nil if the record has none.
func (r Record) HardwareAddr() net.HardwareAddr {
	return parseMAC(r.MAC)
}

func parseMAC(text string) net.HardwareAddr {
	mac, err := net.ParseMAC(text)
	if err != nil {
		return nil
	}
	return mac
}

// Place returns where the record's segment is, as segment.Resolve did.
func (r Record) Place() segment.Place {
	return segment.Place{
		Bridge: r.Bridge, Uplink: r.Uplink, Parent: r.Parent, VLAN: r.VLAN, OuterVLAN: r.OuterVLAN,
		Trunk: r.Trunk, KeepDefault: r.KeepDefault, Filtering: r.Filtering,
	}
}

// At returns the record with its segment's place.
func (r Record) At(p segment.Place) Record {
	r.Bridge, r.Uplink, r.Parent, r.VLAN, r.OuterVLAN = p.Bridge, p.Uplink, p.Parent, p.VLAN, p.OuterVLAN
	r.Trunk, r.KeepDefault, r.Filtering = p.Trunk, p.KeepDefault, p.Filtering
	return r
}

// PVID returns the VLAN of the Pod's untagged frames within the bridge, 0 where
// the bridge tells none apart or the default is meant.
func (r Record) PVID() uint16 {
	if !r.Filtering {
		return 0
	}
	return r.VLAN
}
