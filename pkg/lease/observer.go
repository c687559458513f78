package lease

import "time"

// Observer counts, for metrics. Its methods are called by the keeper's own
// goroutine and must not block.
type Observer interface {
	// Sent and Received count messages by type, as RFC 2131 names them, and by
	// the uplink, or the bridge of Pods that are spoken from, and its VLAN.
	Sent(at Domain, kind string)
	Received(at Domain, kind string)
	// Malformed counts what was no DHCP reply.
	Malformed()
	// Acquired is told how long a lease took, Failed that none was got.
	Acquired(took time.Duration)
	Failed()
	// Extended, Lost, Released and Readopted count what became of leases.
	Extended()
	Lost()
	Released()
	Readopted(n int)
	// Conflicts counts "conflict", an address that somebody else turned out to
	// have, and "unchecked", a link whose ARP cannot be heard.
	Conflicts(event string)
}

// nobody observes nothing.
type nobody struct{}

func (nobody) Sent(Domain, string)     {}
func (nobody) Received(Domain, string) {}
func (nobody) Malformed()              {}
func (nobody) Acquired(time.Duration)  {}
func (nobody) Failed()                 {}
func (nobody) Extended()               {}
func (nobody) Lost()                   {}
func (nobody) Released()               {}
func (nobody) Readopted(int)           {}
func (nobody) Conflicts(string)        {}
