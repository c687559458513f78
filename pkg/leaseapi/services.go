package leaseapi

import "net/netip"

// Services is what the node does for its Pods' way to Services, and for its own to
// them.
type Services struct {
	// Networks are those whose Pods have such a way, sorted by name.
	Networks []ServiceNetwork `json:"networks"`
	// BridgeNF: bridged frames of IPv4 pass the node's iptables
	// (net.bridge.bridge-nf-call-iptables).
	BridgeNF bool `json:"bridgeNF"`
	// ByHand are commands for the administrator: rules that podland may not set.
	ByHand []string `json:"byHand,omitempty"`
	// Problem is what else podland could not do; empty: nothing.
	Problem string `json:"problem,omitempty"`
	// Behind are the Pods whose own side is not what it would be if they were made
	// now, sorted by key.
	Behind []PodBehind `json:"behind,omitempty"`
}

// ServiceNetwork is the way of one network's Pods, as its latest ADD has it.
type ServiceNetwork struct {
	Network string         `json:"network"`
	Mode    string         `json:"mode"` // "snat" or "bridge-nf"
	CIDRs   []netip.Prefix `json:"cidrs"`
	// NodeIP is what the node shows for the Pods.
	NodeIP netip.Addr `json:"nodeIP"`
	Pods   int        `json:"pods"`
}

// PodBehind is a Pod that was made before Services, node or configuration changed.
type PodBehind struct {
	Key
	// Pod is its name, if the runtime told.
	Pod string `json:"pod,omitempty"`
	// Lacks says what, for people: networks, the node's addresses, its MAC.
	Lacks []string `json:"lacks"`
}
