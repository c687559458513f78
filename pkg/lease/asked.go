package lease

import (
	"net/netip"
	"time"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/fault"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// askedTerm is how long a server is taken to hold what it may have granted
// without our hearing of it, and so not for how long.
const askedTerm = 24 * time.Hour

// mark is what the journal says that an entry asks for.
type mark struct {
	line    line
	key     leaseapi.Key
	address netip.Addr
	server  netip.Addr
}

// noteAsked has the journal tell of the REQUEST that is to go out next: if
// podland dies before the grant is stored, the next one gives back what the
// server may hold. A disk that refuses does not keep the REQUEST back.
func (k *Keeper) noteAsked(e *entry) {
	o, ok := e.client.Offered()
	m := mark{line: e.mark.line, key: e.key, address: o.Address.Addr(), server: o.Server}
	if !ok || e.stage != acquiring || e.mark == m {
		return
	}
	now := k.cfg.Now()
	end := now + askedTerm
	s := k.record(e, dhcp4.Lease{
		Address: netip.PrefixFrom(m.address, m.address.BitLen()), Server: m.server, ServerMAC: e.server,
		Acquired: now, T1: end, T2: end, Expiry: end,
	})
	s.Void = true
	var err error
	if m.line, err = k.journal.add(s); err != nil {
		k.cfg.Log.Error("what is asked for is not noted", "key", e.key.String(), "error", err)
		return
	}
	fault.Point("lease.asked")
	k.settled(e.mark.line)
	e.mark = m
}

// endJournal leaves a file only if it tells the next podland something.
func (k *Keeper) endJournal() {
	if err := k.journal.compact(); err != nil {
		k.cfg.Log.Error("what was asked for stays noted", "error", err)
	}
	k.journal.close()
}

// settled is about a line of which something better is on disk, or nothing is
// left to be told.
func (k *Keeper) settled(l line) {
	if err := k.journal.settle(l); err != nil {
		k.cfg.Log.Error("what was asked for stays noted", "error", err)
	}
}
