package segment

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/rtnl"
)

// Release removes what Podlan made of a segment: the bridge once it has no port
// but its uplink, and the sub-interface over which it was; a NIC is left as it
// is. The uplink is the one named, or without a name a NIC, bond, team or VLAN.
// A bridge of others, one in use, and one that is gone are no error: nothing
// happens to it. Unfinished links of the bridge go as well. The caller holds the
// locks of Locks, and no record names the bridge but the one that ends.
func Release(_ context.Context, h *rtnl.Handle, bridge, uplink string) error {
	return newMaker(h).release(bridge, uplink)
}

func (m maker) release(bridge, uplink string) error {
	if reserved(bridge) {
		return m.Delete(bridge)
	}
	if bridge != "" {
		for _, what := range []rune{tempBridge, tempSub, tempOuter, tempGateway} {
			if err := m.Delete(temporary(bridge, what)); err != nil {
				return err
			}
		}
		port, err := m.releaseBridge(bridge, uplink)
		if err != nil {
			return fmt.Errorf("release bridge: %w", err)
		}
		if uplink == "" {
			uplink = port
		}
	}
	if uplink == "" {
		return nil
	}
	return m.releaseDevice(uplink)
}

// releaseBridge returns the name of the uplink that the bridge had.
func (m maker) releaseBridge(bridge, uplink string) (string, error) {
	link, err := m.Link(bridge)
	if errors.Is(err, rtnl.ErrNotFound) || err == nil && link.Type() != "bridge" {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if err := m.closeGateways(link.Attrs().Index); err != nil {
		return "", err
	}
	if link.Attrs().Alias != Alias(bridge) {
		return "", nil
	}
	ports, err := m.Ports(link.Attrs().Index)
	if err != nil || len(ports) > 1 {
		return "", err
	}
	port := ""
	for _, p := range ports {
		if port = p.Attrs().Name; port != uplink && !(uplink == "" && isLAN(p)) {
			return "", nil
		}
	}
	if stacked, err := m.stackedOn(link.Attrs().Index); err != nil || len(stacked) > 0 {
		return "", err
	}
	if err := m.Delete(bridge); err != nil {
		return "", err
	}
	m.step("segment.bridge.released")
	return port, nil
}

// releaseDevice removes a sub-interface that Podlan made and nobody uses, and
// the 802.1ad device below if it was the last on it: that one's end is its own,
// in one step.
func (m maker) releaseDevice(name string) error {
	vlan, err := ourVLAN(m.Handle, name)
	if err != nil || vlan == nil {
		return err
	}
	if unused, err := m.unused(vlan); err != nil || !unused {
		return err
	}
	last, err := m.lastOf(vlan)
	if err != nil {
		return err
	}
	if err := m.Delete(last); err != nil {
		return err
	}
	m.step("segment.vlan.released")
	return nil
}

// lastOf names what is to be removed with the sub-interface: the device of ours
// below it if nothing else stands on that, which takes it along, else itself.
func (m maker) lastOf(vlan *netlink.Vlan) (string, error) {
	below, err := nameOf(m.Handle, vlan.ParentIndex)
	if err != nil || below == "" {
		return vlan.Name, err
	}
	outer, err := ourVLAN(m.Handle, below)
	if err != nil || outer == nil {
		return vlan.Name, err
	}
	if unused, err := m.unused(outer, vlan.Name); err != nil || !unused {
		return vlan.Name, err
	}
	return below, nil
}

// unused tells whether nobody makes use of a VLAN device: it is no bridge's
// port, bears no address, and nothing stands on it but the links named.
func (m maker) unused(vlan *netlink.Vlan, but ...string) (bool, error) {
	if vlan.MasterIndex != 0 {
		return false, nil
	}
	if addr, err := m.address(vlan.Index); err != nil || addr != "" {
		return false, err
	}
	on, err := m.stackedOn(vlan.Index)
	return err == nil && !slices.ContainsFunc(on, func(name string) bool { return !slices.Contains(but, name) }), err
}

// stackedOn names the links that stand on the one of that index: VLAN devices,
// macvlan and the like. A veth's index is its peer's, mostly in another
// namespace.
func (m maker) stackedOn(index int) ([]string, error) {
	links, err := m.Links()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, l := range links {
		a := l.Attrs()
		if a.ParentIndex == index && a.NetNsID < 0 && l.Type() != "veth" {
			names = append(names, a.Name)
		}
	}
	return names, nil
}
