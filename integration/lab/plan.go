package lab

import (
	"encoding/binary"
	"net/netip"
	"sync"
)

// plan gives out the LAN's addresses: the server first, then hosts and nodes,
// far below the pool.
type plan struct {
	subnet      netip.Prefix
	server      netip.Addr
	first, last netip.Addr

	mu   *sync.Mutex
	next *int
}

func newPlan(o Options) plan {
	base := o.Subnet.Masked().Addr()
	p := plan{subnet: o.Subnet.Masked(), server: plus(base, 1), first: o.First, last: o.Last, mu: &sync.Mutex{}, next: new(int)}
	*p.next = 2
	from, to := 256, 256+2303
	if o.Subnet.Bits() > 20 {
		from, to = 100, 199
	}
	if !p.first.IsValid() {
		p.first = plus(base, from)
	}
	if !p.last.IsValid() {
		p.last = plus(base, to)
	}
	return p
}

// host returns the next address for a host or a node.
func (p plan) host() netip.Prefix {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := plus(p.subnet.Addr(), *p.next)
	*p.next++
	return netip.PrefixFrom(a, p.subnet.Bits())
}

// on returns the address with the subnet's length.
func (p plan) on(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, p.subnet.Bits()) }

// plus returns the n-th address after a.
func plus(a netip.Addr, n int) netip.Addr {
	b := a.As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(n))
	return netip.AddrFrom4(b)
}
