package ipam

import (
	"github.com/containernetworking/cni/pkg/types"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/tombstone"
)

// forgetTombstone comes before an ADD: a DEL of the same key that podland never
// heard of must not end the lease that is about to be made.
func forgetTombstone(conf *netconf.DHCP, key leaseapi.Key) error {
	if err := tombstone.Clear(conf.StateDir, key); err != nil {
		return types.NewError(types.ErrIOFailure, err.Error(), "is "+conf.StateDir+" writable?")
	}
	return nil
}

func buryForPodland(conf *netconf.DHCP, key leaseapi.Key) error {
	if err := tombstone.Put(conf.StateDir, key); err != nil {
		return types.NewError(types.ErrIOFailure, "podland is down, and the DEL cannot be remembered for it: "+err.Error(),
			"is "+conf.StateDir+" writable?")
	}
	return nil
}
