package lease

import (
	"net/netip"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// Recover takes up a lease of which no file is left, for an attachment that
// uses the address: it is lost until a server has granted it again, for which
// it is asked at once (INIT-REBOOT). Nothing happens if the key has a lease.
func (k *Keeper) Recover(key leaseapi.Key, req leaseapi.Request, address netip.Prefix) error {
	panic("not yet")
}

// Verify has every lease on the uplink renewed and its address announced, at
// the segment's pace: the uplink's carrier was away, and who knows where the
// cable leads now.
func (k *Keeper) Verify(uplink string) error {
	panic("not yet")
}
