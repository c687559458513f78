package lease

import (
	"net/netip"
	"time"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// askedTerm is how long a server is taken to hold what it may have granted
// without our hearing of it, and so not for how long.
const askedTerm = 24 * time.Hour

// mark is what a file says that its client asks for.
type mark struct {
	key     leaseapi.Key
	address netip.Addr
	server  netip.Addr
}

// noteAsked has the entry's file tell of the REQUEST that is to go out next, and
// then calls then: if podland dies before the grant is stored, the next one gives
// back what the server may hold. False if there is nothing new to be told. A disk
// that refuses does not keep the REQUEST back.
func (k *Keeper) noteAsked(e *entry, then func()) bool {
	o, ok := e.client.Offered()
	m := mark{key: e.key, address: o.Address.Addr(), server: o.Server}
	if !ok || e.stage != acquiring || e.mark == m {
		return false
	}
	now := k.cfg.Now()
	end := now + askedTerm
	k.saveVoid(e, dhcp4.Lease{
		Address: netip.PrefixFrom(m.address, m.address.BitLen()), Server: m.server, ServerMAC: e.server,
		Acquired: now, T1: end, T2: end, Expiry: end,
	}, "lease.asked", then)
	e.mark = m
	return true
}

// whenAsked queues the message once the file tells of it, unless it is void by
// then.
func (k *Keeper) whenAsked(e *entry, d *dhcp4.Datagram) {
	if !k.noteAsked(e, func() {
		if e.out == d && !e.queued && !e.resends() {
			k.queueUp(e)
			k.set(e)
		}
	}) {
		k.queueUp(e)
	}
}
