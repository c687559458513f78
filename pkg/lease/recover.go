package lease

import (
	"fmt"
	"net/netip"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// Recover takes up a lease of which no file is left, for an attachment that
// uses the address: it is lost until a server has granted it again, for which
// it is asked at once (INIT-REBOOT). Nothing happens if the key, or the client,
// has a lease.
func (k *Keeper) Recover(key leaseapi.Key, req leaseapi.Request, address netip.Prefix) error {
	if _, err := dhcp4.ParseMAC(req.MAC); err != nil {
		return fmt.Errorf("recover %s: mac: %w", key, err)
	}
	if !address.Addr().Is4() {
		return fmt.Errorf("recover %s: %s is no IPv4 address", key, address)
	}
	return k.do(func() {
		e := k.newEntry(key, req)
		if k.leases[key] != nil || k.clients[e.who] != nil {
			return
		}
		e.stage, e.reason = lost, "its lease file is gone; asking the server for it again"
		e.lastLease = dhcp4.Lease{Address: address}
		e.former = e.lastLease
		k.leases[key], k.clients[e.who] = e, e
		k.enlist(e)
		k.cfg.Log.Warn("a lease without a file is asked for again", "key", key.String(), "on", e.domain().String(), "address", address.String())
		k.save(e, nil)
		e.segment.enter(e, background)
		k.set(e)
	})
}

// Verify has every lease on the uplink renewed and its address announced, at
// the segment's pace: the uplink's carrier was away, and who knows where the
// cable leads now. Leases that are spoken for from their Pods know no uplink:
// theirs is the bridge.
func (k *Keeper) Verify(uplink string) error {
	return k.do(func() {
		now := k.cfg.Now()
		for _, e := range k.leases {
			if e.stage != held || e.segment.name() != uplink {
				continue
			}
			e.client.Verify(now)
			k.tell(e, now)
			k.set(e)
		}
	})
}
