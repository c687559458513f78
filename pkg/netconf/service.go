package netconf

import "net/netip"

// ServiceMode is the key `service.mode`: how a Pod's traffic to Services finds
// back.
type ServiceMode string

// The values of `service.mode`.
const (
	// ServiceOff: Podlan does nothing for Services.
	ServiceOff ServiceMode = "off"
	// ServiceSNAT: what goes to a Service bears the node's address.
	ServiceSNAT ServiceMode = "snat"
	// ServiceBridgeNF: it keeps the Pod's; replies are taken off the bridge by
	// net.bridge.bridge-nf-call-iptables = 1.
	ServiceBridgeNF ServiceMode = "bridge-nf"
)

// Service is a Pod's way to Services and to its node.
type Service struct {
	Mode ServiceMode `json:"mode"`
	// CIDRs are the networks of Services, IPv4, none within another.
	CIDRs []netip.Prefix `json:"cidrs,omitempty"`
	// NodeIP is the node's address by the configuration; unset: found out.
	NodeIP netip.Addr `json:"nodeIP,omitzero"`
}

// On tells whether a Pod gets the way.
func (s Service) On() bool { return s.Mode != "" && s.Mode != ServiceOff }
