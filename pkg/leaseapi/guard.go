package leaseapi

import "net/netip"

// PathGuard is where podland tells what the guard lets out and drops.
const PathGuard = "/v1/guard"

// Guard is the answer to GET PathGuard.
type Guard struct {
	// Ports are those of podlan-bridge, sorted by key.
	Ports []GuardedPort `json:"ports"`
	// Dropped counts frames by the kind of reason, of all ports that ever were,
	// since the table was made or restored.
	Dropped map[string]uint64 `json:"dropped"`
}

// GuardedPort is what one port may send.
type GuardedPort struct {
	Key
	// Pod is its name, if the runtime told.
	Pod string `json:"pod,omitempty"`
	// Port names the host end.
	Port string `json:"port"`
	MAC  string `json:"mac"`
	// Addresses are the port's by IPAM. The IPv6 link-local address made from
	// MAC is allowed besides.
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// AnyAddress: the network has no IPAM, and the port is tied to its MAC alone.
	AnyAddress bool `json:"anyAddress,omitempty"`
	// Opened are the keys of the conf's object `guard` that hold for the port, and
	// vlanTrunk; "off" alone if nothing is checked.
	Opened []string `json:"opened,omitempty"`
	// ExtraMACs and ExtraIPs are allowed as MAC and Addresses are.
	ExtraMACs []string     `json:"extraMACs,omitempty"`
	ExtraIPs  []netip.Addr `json:"extraIPs,omitempty"`
	// Trunk are the VIDs, and ranges of them, that the port may send tagged, with
	// any address.
	Trunk []string `json:"trunk,omitempty"`
	// Closed says why podland has closed the port; empty: it has not.
	Closed string `json:"closed,omitempty"`
	// Dropped counts the port's frames by the kind of reason, kinds without any
	// left out.
	Dropped map[string]uint64 `json:"dropped,omitempty"`
}
