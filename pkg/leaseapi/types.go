// Package leaseapi is the contract between podlan-dhcp (and podlan) and
// podland: paths, types, codes, and the client. It speaks to podland's socket
// and touches nothing else.
//
// The contract is versioned by its path prefix. A field is never renamed or
// given another meaning within a version; new ones are optional, so that a
// plugin of an older release works with a newer podland.
package leaseapi

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"
	"time"
)

// DefaultSocket is where podland listens unless told otherwise.
const DefaultSocket = "/run/podlan/podland.sock"

// Paths of version 1. A lease's path is PathLeases/{network}/{container}/{ifname}.
const (
	PathLeases = "/v1/leases"
	PathGC     = "/v1/gc"
	PathStatus = "/v1/status"
	PathHealth = "/healthz"
)

// Key names an attachment, as CNI does.
type Key struct {
	Network     string `json:"network"`
	ContainerID string `json:"containerID"`
	IfName      string `json:"ifName"`
}

func (k Key) String() string { return k.Network + "/" + k.ContainerID + "/" + k.IfName }

// Hash returns 64 lower-case hexadecimal digits that stand for the key, in
// names of files and links.
func (k Key) Hash() string {
	// CNI allows the separator in none of the three.
	sum := sha256.Sum256([]byte(strings.Join([]string{k.Network, k.ContainerID, k.IfName}, "\x00")))
	return hex.EncodeToString(sum[:])
}

// Transport says from where podland speaks DHCP for a lease.
type Transport string

// The transports.
const (
	// FromUplink: from the node's uplink, as the Pod's MAC. No Pod needed.
	FromUplink Transport = "uplink"
	// FromPod: from a socket in the Pod's network namespace. Needs SYS_ADMIN.
	FromPod Transport = "pod"
)

// Confirmation says what turns a pending lease into a held one.
type Confirmation string

// The confirmations.
const (
	// ByRecord: the attachment record of podlan-bridge says "ready".
	ByRecord Confirmation = "record"
	// ByAddress: the Pod's interface bears the address (foreign main plugin).
	ByAddress Confirmation = "address"
)

// Conflict says how the address is checked for another's use (RFC 5227).
type Conflict string

// The kinds of conflict detection.
const (
	// ConflictOptimistic: probes start with the OFFER and delay nothing; an
	// address that turns out to be taken is declined and withdrawn.
	ConflictOptimistic Conflict = "optimistic"
	// ConflictWait: the RFC's own timing, 4 to 7 s, before the lease is told.
	ConflictWait Conflict = "wait"
	// ConflictOff: neither probes, announcements nor defence.
	ConflictOff Conflict = "off"
)

// WhenLost says what becomes of a Pod whose lease is lost.
type WhenLost string

// The policies.
const (
	// Withdraw: the port is closed until the same address is granted again.
	Withdraw WhenLost = "withdraw"
	// Replace: the Pod gets whatever address the server grants next. Needs
	// SYS_ADMIN.
	Replace WhenLost = "replace"
)

// Part is a part of what a server tells that a Pod may do without.
type Part string

// The parts.
const (
	PartDNS    Part = "dns"
	PartDomain Part = "domain"
	PartSearch Part = "search"
	PartMTU    Part = "mtu"
	PartRoutes Part = "routes" // all but the default route
)

// Request is the body of PUT on a lease's path.
type Request struct {
	// ClientID is option 61's value, type byte included; hexadecimal in JSON.
	ClientID HexBytes `json:"clientID"`
	// MAC is the client's hardware address: chaddr and Ethernet source.
	MAC string `json:"mac"`
	// Transport, and what it needs: Uplink for FromUplink, Netns for FromPod.
	Transport Transport `json:"transport"`
	Uplink    string    `json:"uplink,omitempty"`
	// Bridge is the segment's bridge, if it has one.
	Bridge string `json:"bridge,omitempty"`
	// VLAN is the segment's VID, 1 to 4094, where Uplink carries several and
	// Bridge tells them apart; 0: neither does. Frames bear it as their tag, but
	// for those on an Uplink that carries it Untagged.
	VLAN     uint16 `json:"vlan,omitempty"`
	Untagged bool   `json:"untagged,omitempty"`
	// Netns is the path of the Pod's network namespace.
	Netns string `json:"netns,omitempty"`
	// Confirm says how the lease leaves the state pending.
	Confirm Confirmation `json:"confirm"`
	// BudgetMS is the ADD's whole budget in milliseconds, 1 to 600000. A lease
	// that is pending when it has passed is given back.
	BudgetMS int64 `json:"budgetMS"`
	// ParameterRequest is option 55's value, in order.
	ParameterRequest HexBytes `json:"parameterRequest,omitempty"`
	// Send are options to put into DISCOVER and REQUEST, by code.
	Send map[uint8]HexBytes `json:"send,omitempty"`
	// Pod names the Pod for people, if the runtime told: namespace/name.
	Pod string `json:"pod,omitempty"`

	// Conflict is how the address is checked; empty: ConflictOptimistic.
	Conflict Conflict `json:"conflict,omitempty"`
	// WhenLost is the policy for a lost lease; empty: Withdraw.
	WhenLost WhenLost `json:"whenLost,omitempty"`
	// Servers are those, by option 54, whose answers are taken; empty: any.
	Servers []netip.Addr `json:"servers,omitempty"`
	// Pace is how many DHCP packets per second the segment's NIC bears, of all
	// its VLANs together, and as many of ARP, 1 to 500; 0: 500. The lowest of a
	// NIC's leases counts.
	Pace int `json:"pace,omitempty"`
	// RapidCommit asks for a lease in two messages instead of four (RFC 4039).
	RapidCommit bool `json:"rapidCommit,omitempty"`
	// Ignore are the parts of what the server tells that Lease leaves out.
	Ignore []Part `json:"ignore,omitempty"`
	// Protected are networks that no route of the server's may cover, but for
	// the default route: the node's own and those of Services.
	Protected []netip.Prefix `json:"protected,omitempty"`
	// RoutePriority is the metric of the Pod's routes, for when podland sets
	// them itself; 0: the kernel's.
	RoutePriority int `json:"routePriority,omitempty"`
}

// State is a lease's place in its life.
type State string

// The states. RFC 2131 §4.4 names the client's states between them.
const (
	// StateAcquiring: DISCOVER or REQUEST is under way; there is no address.
	StateAcquiring State = "acquiring"
	// StatePending: granted, not yet confirmed by a finished ADD.
	StatePending State = "pending"
	// StateBound: held; renewed at T1 and T2.
	StateBound State = "bound"
	// StateRenewing: after T1, asking the server that granted it.
	StateRenewing State = "renewing"
	// StateRebinding: after T2, asking any server.
	StateRebinding State = "rebinding"
	// StateLost: taken back by the server (Reason says why); the client keeps
	// asking for it.
	StateLost State = "lost"
)

// Route is a route that the server gave (options 121, 33 or 3).
type Route struct {
	Dst netip.Prefix `json:"dst"`
	// GW is unset for an on-link destination (RFC 3442).
	GW netip.Addr `json:"gw,omitzero"`
}

// Lease is what podland holds for an attachment.
type Lease struct {
	Key
	State State `json:"state"`
	// Reason says why a lease is lost.
	Reason string `json:"reason,omitempty"`
	Pod    string `json:"pod,omitempty"`

	MAC       string    `json:"mac"`
	ClientID  HexBytes  `json:"clientID"`
	Transport Transport `json:"transport"`
	Uplink    string    `json:"uplink,omitempty"`
	Bridge    string    `json:"bridge,omitempty"`
	VLAN      uint16    `json:"vlan,omitempty"` // as in Request
	WhenLost  WhenLost  `json:"whenLost,omitempty"`

	// Address is the leased address with the network's prefix length.
	Address netip.Prefix `json:"address,omitzero"`
	Server  netip.Addr   `json:"server,omitzero"`
	Router  netip.Addr   `json:"router,omitzero"`
	Routes  []Route      `json:"routes,omitempty"`
	DNS     []netip.Addr `json:"dns,omitempty"`
	Domain  string       `json:"domain,omitempty"`
	Search  []string     `json:"search,omitempty"`
	// MTU is option 26 in bytes, 0 if the server did not give it.
	MTU int `json:"mtu,omitempty"`
	// NTP are the time servers (option 42).
	NTP []netip.Addr `json:"ntp,omitempty"`
	// Refused are routes of the server's that cover a protected network.
	Refused []Route `json:"refusedRoutes,omitempty"`

	// Wall-clock times, for people. Zero time: never (an infinite lease).
	AcquiredAt time.Time `json:"acquiredAt,omitzero"`
	RenewAt    time.Time `json:"renewAt,omitzero"`
	RebindAt   time.Time `json:"rebindAt,omitzero"`
	ExpiresAt  time.Time `json:"expiresAt,omitzero"`
}

// GCRequest is the body of POST PathGC: give back every lease of the network
// that is not listed.
type GCRequest struct {
	Network string `json:"network"`
	Valid   []Key  `json:"valid"`
}

// Status is the answer to GET PathStatus.
type Status struct {
	Version   string        `json:"version"`
	StartedAt time.Time     `json:"startedAt"`
	StateDir  string        `json:"stateDir"`
	PodAccess bool          `json:"podAccess"` // may enter Pods' namespaces
	Leases    map[State]int `json:"leases"`
	Segments  []Segment     `json:"segments"`
	// Services is nil where no Pod has a way to Services, and of a podland that
	// knows of none.
	Services *Services `json:"services,omitempty"`
}

// Segment is one place where podland speaks DHCP: a VLAN of one uplink, or of one
// bridge of Pods that are spoken from. Two of them may lease the same address.
type Segment struct {
	Uplink string `json:"uplink,omitempty"`
	Bridge string `json:"bridge,omitempty"`
	VLAN   uint16 `json:"vlan,omitempty"` // as in Request
	// Present, Carrier: whether the uplink exists and has a link.
	Present bool `json:"present"`
	Carrier bool `json:"carrier"`
	Leases  int  `json:"leases"`
}
