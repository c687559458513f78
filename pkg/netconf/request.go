package netconf

import (
	"net/netip"
	"slices"

	"github.com/podlan/podlan/pkg/identity"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// Interface is what CNI calls a plugin for.
type Interface struct {
	ContainerID, IfName, Netns string
}

// LeaseRequest returns what podland is asked for on behalf of the interface,
// whose port podlan-bridge has made, or podlan-dhcp has found under another
// main plugin. Equal conf, CNI_ARGS and port give an equal request, whichever of
// the two makes it.
func (d *DHCP) LeaseRequest(of Interface, port Handover) leaseapi.Request {
	req := leaseapi.Request{
		ClientID:  d.ClientID,
		MAC:       port.MAC,
		Transport: leaseapi.Transport(port.From),
		Uplink:    port.Uplink, Bridge: port.Bridge, Netns: of.Netns,
		VLAN: port.VLAN, Untagged: port.Untagged,
		Confirm:          leaseapi.ByRecord,
		BudgetMS:         port.BudgetMS,
		ParameterRequest: d.ParameterRequest,
		Pod:              d.Pod.String(),
		Conflict:         d.Conflict, WhenLost: d.WhenLost,
		Servers: d.Servers, Pace: d.Pace, RapidCommit: d.RapidCommit,
		Ignore:    d.Ignore,
		Protected: protected(slices.Concat(d.ServiceCIDRs, port.Networks), d.AllowRoutes),

		RoutePriority: d.Priority,
	}
	if d.Handover == nil {
		req.Confirm = leaseapi.ByAddress
	}
	if req.ClientID == nil {
		req.ClientID = identity.Attachment(d.Name, of.IfName, d.Pod.UID, of.ContainerID).ClientID()
	}
	for code, value := range d.Send {
		if req.Send == nil {
			req.Send = map[uint8]leaseapi.HexBytes{}
		}
		req.Send[code] = value
	}
	return req
}

// maxProtected bounds a request: a node with kube-proxy in IPVS mode has every
// Service's address on a link. The widest networks stay.
const maxProtected = 256

// protected returns the networks less what is allowed, none within another, the
// widest first.
func protected(networks, allowed []netip.Prefix) []netip.Prefix {
	var left []netip.Prefix
	for _, p := range networks {
		if p.IsValid() {
			left = append(left, without(p.Masked(), allowed)...)
		}
	}
	slices.SortFunc(left, func(a, b netip.Prefix) int {
		if a.Bits() != b.Bits() {
			return a.Bits() - b.Bits()
		}
		return a.Addr().Compare(b.Addr())
	})
	var kept []netip.Prefix
	for _, p := range left {
		if len(kept) < maxProtected && !slices.ContainsFunc(kept, p.Overlaps) {
			kept = append(kept, p)
		}
	}
	return kept
}

// without returns what is left of p: p itself, nothing, or both halves without
// what is allowed within them.
func without(p netip.Prefix, allowed []netip.Prefix) []netip.Prefix {
	inside := false
	for _, a := range allowed {
		switch {
		case !a.Overlaps(p):
		case a.Bits() <= p.Bits():
			return nil
		default:
			inside = true
		}
	}
	if !inside {
		return []netip.Prefix{p}
	}
	low, high := halves(p)
	return append(without(low, allowed), without(high, allowed)...)
}

// halves splits a prefix that is no single address.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	bits := p.Bits()
	addr := p.Addr().AsSlice()
	addr[bits/8] |= 0x80 >> (bits % 8)
	upper, _ := netip.AddrFromSlice(addr)
	return netip.PrefixFrom(p.Addr(), bits+1), netip.PrefixFrom(upper, bits+1)
}
