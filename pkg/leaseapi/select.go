package leaseapi

import (
	"net/netip"
	"slices"
)

// Select returns the lease as the request wants it: without the parts to be
// ignored, and without routes that overlap a protected network, which are told
// in Refused. A network within the leased one is not protected from it, and
// the default route passes: it is what an address on a LAN is for.
func (r Request) Select(l Lease) Lease {
	ignored := func(p Part) bool { return slices.Contains(r.Ignore, p) }
	if ignored(PartDNS) {
		l.DNS = nil
	}
	if ignored(PartDomain) {
		l.Domain = ""
	}
	if ignored(PartSearch) {
		l.Search = nil
	}
	if ignored(PartMTU) {
		l.MTU = 0
	}
	routes := l.Routes
	l.Routes, l.Refused = nil, nil
	for _, route := range routes {
		switch {
		case route.Dst.Bits() == 0:
			l.Routes = append(l.Routes, route)
		case ignored(PartRoutes):
		case r.protects(route.Dst, l.Address):
			l.Refused = append(l.Refused, route)
		default:
			l.Routes = append(l.Routes, route)
		}
	}
	return l
}

// protects tells whether a route to dst, by a lease of the address, would take
// what is for a protected network.
func (r Request) protects(dst, address netip.Prefix) bool {
	leased := address.Masked()
	return slices.ContainsFunc(r.Protected, func(p netip.Prefix) bool {
		within := leased.Overlaps(p) && leased.Bits() <= p.Bits()
		return !within && p.Overlaps(dst)
	})
}
