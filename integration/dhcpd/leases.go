package dhcpd

import (
	"net"
	"net/netip"
	"sort"
	"time"
)

// offerTime is how long an offered address is held for its client.
const offerTime = 10 * time.Second

// declineTime is how long a declined address is not granted.
const declineTime = time.Hour

// Lease is an address that the server granted and that has not run out.
type Lease struct {
	Addr     netip.Addr
	MAC      net.HardwareAddr
	ClientID []byte
	Hostname string
	Expires  time.Time
}

// binding is an address that is a client's: offered, granted, or free again and
// remembered.
type binding struct {
	Lease
	key string
	// bound: it is granted. known: it has been, so that the client may have it
	// again; what was only offered is nobody's.
	bound, known bool
}

// database knows who has which address. Not safe for concurrent use.
type database struct {
	cfg      Config
	byKey    map[string]*binding
	byAddr   map[netip.Addr]*binding
	declined map[netip.Addr]time.Time
	next     netip.Addr
}

func newDatabase(cfg Config) *database {
	return &database{
		cfg:      cfg,
		byKey:    map[string]*binding{},
		byAddr:   map[netip.Addr]*binding{},
		declined: map[netip.Addr]time.Time{},
		next:     cfg.First,
	}
}

// holder returns who has the address now, nil if it is free.
func (d *database) holder(a netip.Addr, now time.Time) *binding {
	if b := d.byAddr[a]; b != nil && now.Before(b.Expires) {
		return b
	}
	return nil
}

// available tells whether the address can be the client's.
func (d *database) available(a netip.Addr, key, mac string, now time.Time) bool {
	for reservedFor, r := range d.cfg.Reserved {
		if r == a {
			return reservedFor == mac
		}
	}
	if !d.cfg.inPool(a) || now.Before(d.declined[a]) || a == d.cfg.Address.Addr() {
		return false
	}
	b := d.holder(a, now)
	return b == nil || b.key == key
}

// pick chooses an address for a client: its reserved one, the one that it has
// or had, the one that it wishes, the one that it was offered, the next that is
// free (RFC 2131 §4.3.1).
func (d *database) pick(key, mac string, wish netip.Addr, now time.Time) (netip.Addr, bool) {
	if a, ok := d.cfg.Reserved[mac]; ok {
		return a, true
	}
	b := d.byKey[key]
	if b != nil && !d.available(b.Addr, key, mac, now) {
		b = nil
	}
	switch {
	case b != nil && b.known:
		return b.Addr, true
	case d.available(wish, key, mac, now):
		return wish, true
	case b != nil:
		return b.Addr, true
	}
	return d.free(key, mac, now)
}

// free takes a never-used address first, so that one that was given back is not
// another client's at once.
func (d *database) free(key, mac string, now time.Time) (netip.Addr, bool) {
	start := d.next
	for a := start; ; {
		following := a.Next()
		if d.cfg.Last.Less(following) {
			following = d.cfg.First
		}
		if d.available(a, key, mac, now) && (d.cfg.InUse == nil || !d.cfg.InUse(a)) {
			d.next = following
			return a, true
		}
		if a = following; a == start {
			return netip.Addr{}, false
		}
	}
}

// put records that the address is the client's until the lease expires.
func (d *database) put(key string, l Lease, bound bool) {
	old := d.byKey[key]
	known := bound || old != nil && old.known && old.Addr == l.Addr
	if old != nil && old.Addr != l.Addr {
		delete(d.byAddr, old.Addr)
	}
	if old := d.byAddr[l.Addr]; old != nil && old.key != key {
		delete(d.byKey, old.key)
	}
	b := &binding{Lease: l, key: key, bound: bound, known: known}
	d.byKey[key], d.byAddr[l.Addr] = b, b
}

// release frees the client's address; false if it was not the client's.
func (d *database) release(key string, a netip.Addr, now time.Time) bool {
	b := d.holder(a, now)
	if b == nil || b.key != key || !b.bound {
		return false
	}
	b.bound, b.Expires = false, now
	return true
}

func (d *database) decline(key string, a netip.Addr, now time.Time) bool {
	if b := d.byAddr[a]; b == nil || b.key != key {
		return false
	}
	delete(d.byAddr, a)
	delete(d.byKey, key)
	d.declined[a] = now.Add(declineTime)
	return true
}

// drop forgets what the client has.
func (d *database) drop(key string) {
	if b := d.byKey[key]; b != nil {
		delete(d.byKey, key)
		delete(d.byAddr, b.Addr)
	}
}

// active returns the granted leases in the order of their addresses.
func (d *database) active(now time.Time) []Lease {
	var leases []Lease
	for _, b := range d.byAddr {
		if b.bound && now.Before(b.Expires) {
			leases = append(leases, b.Lease)
		}
	}
	sort.Slice(leases, func(i, j int) bool { return leases[i].Addr.Less(leases[j].Addr) })
	return leases
}
