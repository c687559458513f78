package pod

import (
	"context"
	"fmt"

	"github.com/podlan/podlan/pkg/rtnl"
)

// SetMTU sets the Pod end's MTU in bytes, after the port was made: the DHCP
// server tells it with the address. The host end keeps the bridge's.
func SetMTU(_ context.Context, netns, ifname string, mtu int) error {
	h, err := rtnl.At(netns)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := h.ChangeNamed(ifname, rtnl.Change{MTU: mtu}); err != nil {
		return fmt.Errorf("MTU %d in the Pod: %w", mtu, err)
	}
	return nil
}
