package ipam

import (
	"github.com/containernetworking/cni/pkg/types"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/tombstone"
)

// buryForPodland leaves a DEL for podland to settle. A later ADD of the same key
// has podland forget it: only podland knows whether the lease still stands.
func buryForPodland(conf *netconf.DHCP, key leaseapi.Key) error {
	if err := tombstone.Put(conf.StateDir, key); err != nil {
		return types.NewError(types.ErrIOFailure, "podland is down, and the DEL cannot be remembered for it: "+err.Error(),
			"is "+conf.StateDir+" writable?")
	}
	return nil
}
