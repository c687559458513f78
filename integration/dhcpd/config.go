// Package dhcpd is a DHCPv4 server (RFC 2131) for the lab and the demo: small,
// correct where no fault is asked for, and scriptable where one is. It speaks
// over a packet socket, touches the one interface that it is given, and holds
// its leases in memory.
package dhcpd

import (
	"fmt"
	"net/netip"
	"time"
)

// Config describes a server.
type Config struct {
	// In runs a function on a thread that is in the server's network
	// namespace. Nil: the caller's.
	In func(func() error) error
	// Interface is served, Address is the server's own there; its prefix
	// length goes to clients as option 1.
	Interface string
	Address   netip.Prefix
	// First and Last bound the pool, both included.
	First, Last netip.Addr
	// Lease is the lease time. T1 and T2 are sent if not 0; clients default to
	// 1/2 and 7/8 (RFC 2131 §4.4.5). Whole seconds go over the wire.
	Lease, T1, T2 time.Duration

	Router netip.Addr
	DNS    []netip.Addr
	Domain string
	MTU    uint16
	// Options are added to every OFFER and ACK, by code.
	Options map[uint8][]byte
	// Reserved are addresses for MACs; nobody else gets them.
	Reserved map[string]netip.Addr
	// InUse is the probe before an OFFER (RFC 2131 §2.2): what it says yes to is
	// offered to nobody who has not had it. Nil: there is none.
	InUse func(netip.Addr) bool
	// NotAuthoritative: stay silent where a client asks for an address that
	// this server knows nothing of, instead of granting it when it is free.
	NotAuthoritative bool
}

func (c Config) validate() error {
	switch {
	case c.Interface == "":
		return fmt.Errorf("dhcp server: no interface given")
	case !c.Address.Addr().Is4():
		return fmt.Errorf("dhcp server: address %s: an IPv4 prefix is wanted", c.Address)
	case !c.Address.Contains(c.First) || !c.Address.Contains(c.Last) || c.Last.Less(c.First):
		return fmt.Errorf("dhcp server: pool %s to %s: an ascending range within %s is wanted", c.First, c.Last, c.Address.Masked())
	case c.Lease < time.Second:
		return fmt.Errorf("dhcp server: lease time %s: at least 1s is wanted", c.Lease)
	}
	return nil
}

// inPool tells whether the address may be granted to anybody.
func (c Config) inPool(a netip.Addr) bool {
	return a.IsValid() && !a.Less(c.First) && !c.Last.Less(a)
}
