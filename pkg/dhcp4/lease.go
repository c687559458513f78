package dhcp4

import (
	"math"
	"net/netip"
	"time"
)

// Never is the time that does not come: T1, T2 and Expiry of an infinite
// lease, and a deadline where there is none.
const Never = time.Duration(math.MaxInt64)

// Lease is what a server granted. All times are durations since boot.
type Lease struct {
	// Address is the leased address with the length of its network's prefix.
	Address netip.Prefix `json:"address"`
	// Server is the server's identifier (option 54).
	Server netip.Addr `json:"server"`
	// ServerMAC is the Ethernet source of the server's last ACK: the server
	// itself, or the relay or router on the way to it. Zero: not known.
	ServerMAC MAC `json:"serverMAC,omitzero"`

	// Router is the default gateway; invalid if there is none.
	Router netip.Addr `json:"router,omitzero"`
	// Routes are those of option 121, else those of 33 and 3 (RFC 3442), at
	// most 256, the default route included.
	Routes []Route `json:"routes,omitempty"`
	// DNS are the name servers (option 6).
	DNS []netip.Addr `json:"dns,omitempty"`
	// Domain and Search are options 15 and 119.
	Domain string   `json:"domain,omitempty"`
	Search []string `json:"search,omitempty"`
	// MTU is option 26 in bytes, 68 to 65535; 0 if absent.
	MTU int `json:"mtu,omitempty"`
	// NTP are the time servers (option 42).
	NTP []netip.Addr `json:"ntp,omitempty"`

	// Acquired is when the REQUEST that the server granted was sent: all times
	// count from there (RFC 2131 §4.4.1).
	Acquired time.Duration `json:"acquiredNS"`
	// T1, T2 and Expiry: T1 < T2 < Expiry, or all three Never.
	T1     time.Duration `json:"t1NS"`
	T2     time.Duration `json:"t2NS"`
	Expiry time.Duration `json:"expiryNS"`
}

// Route is a route that the server gave.
type Route struct {
	Dst netip.Prefix `json:"dst"`
	// GW is invalid for a destination that is on-link (RFC 3442).
	GW netip.Addr `json:"gw,omitzero"`
}

// Infinite reports whether the lease never ends.
func (l Lease) Infinite() bool { return l.Expiry == Never }

// Shift returns the lease with its times moved by d, for a clock that was
// started anew.
func (l Lease) Shift(d time.Duration) Lease {
	l.Acquired += d
	if !l.Infinite() {
		l.T1, l.T2, l.Expiry = l.T1+d, l.T2+d, l.Expiry+d
	}
	return l
}
