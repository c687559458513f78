package segment

import (
	"context"
	"errors"
	"fmt"

	"github.com/podlan/podlan/pkg/rtnl"
)

// Release removes a bridge that Podlan made once it has no port but its uplink,
// which is left as it is: the one named, or without a name a NIC, bond, team or
// VLAN. A bridge of others, one in use, and one that is gone are no error:
// nothing happens. The caller holds the bridge's lock.
func Release(_ context.Context, h *rtnl.Handle, bridge, uplink string) error {
	link, err := h.Link(bridge)
	if errors.Is(err, rtnl.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("release bridge: %w", err)
	}
	if link.Type() != "bridge" || link.Attrs().Alias != Alias(bridge) {
		return nil
	}
	ports, err := h.Ports(link.Attrs().Index)
	if err != nil {
		return fmt.Errorf("release bridge: %w", err)
	}
	for _, p := range ports {
		if p.Attrs().Name != uplink && !(uplink == "" && isLAN(p)) {
			return nil
		}
	}
	if len(ports) > 1 {
		return nil
	}
	return h.Delete(bridge)
}
