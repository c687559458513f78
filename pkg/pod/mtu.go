package pod

import (
	"context"
	"fmt"

	"github.com/podlan/podlan/pkg/rtnl"
)

// SetMTU sets the Pod end's MTU in bytes, after the port was made: the DHCP
// server tells it with the address. The host end keeps the bridge's.
func SetMTU(_ context.Context, netns, ifname string, mtu int) error {
	err := inPod(netns, ifname, func(h *rtnl.Handle, index int) error { return h.SetMTU(index, mtu) })
	if err != nil {
		return fmt.Errorf("MTU %d: %w", mtu, err)
	}
	return nil
}
