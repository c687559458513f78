package netconf

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// Keep are the keys that say how a lease is got and kept.
type Keep struct {
	// Conflict is how the address is checked for another's use.
	Conflict leaseapi.Conflict
	// WhenLost is what becomes of a Pod whose lease is lost.
	WhenLost leaseapi.WhenLost
	// Servers are those whose answers are taken; empty: any.
	Servers []netip.Addr
	// Pace is in packets per second; 0: podland's own.
	Pace int
	// RapidCommit asks for a lease in two messages.
	RapidCommit bool
	// Ignore are the parts of what the server tells that are left out.
	Ignore []leaseapi.Part
	// ServiceCIDRs are networks that no route of the server's may cover, like
	// the node's own; AllowRoutes are taken out of both.
	ServiceCIDRs, AllowRoutes []netip.Prefix
}

const (
	maxPace = 500
	// minWaitBudget is what an ADD needs at least that waits for RFC 5227's
	// probes, 4 to 7 s.
	minWaitBudget = 8 * time.Second
)

func (d *DHCP) readKeep(ipam *object) {
	d.Conflict = leaseapi.Conflict(ipam.oneOf("conflict", string(leaseapi.ConflictOptimistic),
		string(leaseapi.ConflictOptimistic), string(leaseapi.ConflictWait), string(leaseapi.ConflictOff)))
	if d.Conflict == leaseapi.ConflictWait && d.Budget < minWaitBudget {
		ipam.fail("conflict", string(d.Conflict), `allowed: optimistic, off, or a "budget" of 8s or more (it is `+
			d.Budget.String()+"), since the probes of RFC 5227 take 4 to 7 s")
	}
	d.WhenLost = leaseapi.WhenLost(ipam.oneOf("whenLost", string(leaseapi.Withdraw),
		string(leaseapi.Withdraw), string(leaseapi.Replace)))
	d.Servers = ipam.servers("servers")
	d.Pace = ipam.integer("pace", 1, maxPace)
	d.RapidCommit = ipam.boolean("rapidCommit")
	d.AllowRoutes = ipam.prefixes("allowRoutes")
	options := ipam.object("options")
	for _, part := range []leaseapi.Part{leaseapi.PartDNS, leaseapi.PartDomain, leaseapi.PartSearch, leaseapi.PartMTU, leaseapi.PartRoutes} {
		if options.oneOf(string(part), "use", "use", "ignore") == "ignore" {
			d.Ignore = append(d.Ignore, part)
		}
	}
	options.closed()
}

// servers reads a list of IPv4 addresses of hosts.
func (o *object) servers(key string) []netip.Addr {
	var addrs []netip.Addr
	for _, raw := range o.list(key, "a list of IPv4 addresses") {
		var a netip.Addr
		if json.Unmarshal(raw, &a) != nil || !a.Is4() || !a.IsGlobalUnicast() {
			o.fail(key, raw, `allowed: a list of servers' IPv4 addresses, such as ["192.0.2.1"]`)
			continue
		}
		addrs = append(addrs, a)
	}
	return addrs
}

// prefixes reads a list of networks of either family.
func (o *object) prefixes(key string) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, raw := range o.list(key, "a list of networks") {
		var p netip.Prefix
		if json.Unmarshal(raw, &p) != nil || !p.IsValid() || p != p.Masked() {
			o.fail(key, raw, `allowed: a list of networks without host bits, such as ["10.96.0.0/12"]`)
			continue
		}
		prefixes = append(prefixes, p)
	}
	return prefixes
}

// maxList is how long a list may be: podland takes no more.
const maxList = 32

func (o *object) list(key, want string) []json.RawMessage {
	var entries []json.RawMessage
	o.read(key, &entries, want)
	if len(entries) > maxList {
		o.fail(key, o.value(key), "allowed: "+want+", 32 at most")
		return nil
	}
	return entries
}
