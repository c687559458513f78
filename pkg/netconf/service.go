package netconf

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
)

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

// services are the keys `serviceCIDRs` and `service` as they were written.
type services struct {
	mode   ServiceMode // "" if absent
	cidrs  []netip.Prefix
	nodeIP netip.Addr
}

// readServices reads keys that both plugins know.
func readServices(conf *object) services {
	s := services{cidrs: conf.prefixes("serviceCIDRs")}
	in := conf.object("service")
	if in.text("mode", "") != "" {
		s.mode = ServiceMode(in.oneOf("mode", "", string(ServiceSNAT), string(ServiceBridgeNF), string(ServiceOff)))
	}
	s.cidrs = slices.Concat(s.cidrs, in.prefixes("cidrs"))
	s.nodeIP = in.nodeIP(s.cidrs)
	in.closed()
	if (s.mode == ServiceSNAT || s.mode == ServiceBridgeNF) && len(s.cidrs) == 0 {
		in.fail("mode", string(s.mode), `allowed beside networks of Services, as "cidrs" here or as "serviceCIDRs"; without any, "off"`)
	}
	return s
}

// nodeIP reads one of the node's addresses, which are no Service's.
func (o *object) nodeIP(cidrs []netip.Prefix) netip.Addr {
	raw := o.value("nodeIP")
	if raw == nil {
		return netip.Addr{}
	}
	var a netip.Addr
	if json.Unmarshal(raw, &a) != nil || !a.Is4() || !a.IsGlobalUnicast() ||
		slices.ContainsFunc(cidrs, func(p netip.Prefix) bool { return p.Contains(a) }) {
		o.fail("nodeIP", raw, `allowed: one of the node's IPv4 addresses, such as "192.0.2.10", in no network of Services`)
		return netip.Addr{}
	}
	return a
}

// readService reads the Pod's way. Without addresses there is none, unless it is
// asked for by name.
func (b *Bridge) readService(conf *object) {
	s := readServices(conf)
	b.Service = Service{Mode: s.mode, NodeIP: s.nodeIP}
	if b.Service.Mode == "" {
		b.Service.Mode = ServiceOff
		if len(s.cidrs) > 0 && b.IPAM != "" {
			b.Service.Mode = ServiceSNAT
		}
	}
	if !b.Service.On() {
		return
	}
	for _, cidr := range protected(s.cidrs, nil) {
		switch {
		case cidr.Addr().Is6():
			b.Warnings = append(b.Warnings, fmt.Sprintf("network of Services %s is not served: IPv6 is not yet", cidr))
		case cidr.Bits() == 0:
			conf.fail("serviceCIDRs", cidr, `allowed: the cluster's Service networks, such as ["10.96.0.0/12"]`)
		default:
			b.Service.CIDRs = append(b.Service.CIDRs, cidr)
		}
	}
}
