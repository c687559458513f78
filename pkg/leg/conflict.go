package leg

import (
	"fmt"
	"slices"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// refused: one address leads to one device. On the leg's own device another leg
// with it is an earlier sandbox of the same Pod, whose DEL is on its way.
func (l Leg) refused(others []Leg) error {
	for _, o := range others {
		for _, a := range o.Addrs {
			if o.Device != l.Device && slices.Contains(l.addrs(), a.Addr()) {
				return types.NewError(uint(leaseapi.CodeConfig),
					fmt.Sprintf("address %s is that of another Pod of this node, on %s (port %s)", a.Addr(), o.Device, o.Port),
					fmt.Sprintf("this one is on %s, and the node has one way to an address; allowed: another address, or \"service\": {\"mode\": \"off\"} for one of the two networks", l.Device))
			}
		}
	}
	return nil
}
