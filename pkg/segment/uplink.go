package segment

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/rtnl"
)

// FindUplink returns the bridge's port to the LAN: the one named, else its only
// port that is a NIC, bond, team or VLAN, else, in a lab, its only port that is
// no Pod's. "" where there is none, or no bridge; code 7 with the candidates
// where there are several. Without a name its cost grows with the ports.
func FindUplink(h *rtnl.Handle, bridge, named string) (string, error) {
	if named != "" {
		return named, nil
	}
	link, err := h.Link(bridge)
	if errors.Is(err, rtnl.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	ports, err := h.PortsExcept(link.Attrs().Index, rtnl.HostEndPrefix)
	if err != nil {
		return "", err
	}
	return choose(bridge, ports)
}

func choose(bridge string, ports []netlink.Link) (string, error) {
	var lan, foreign []string
	for _, p := range ports {
		name := p.Attrs().Name
		if strings.HasPrefix(name, rtnl.HostEndPrefix) {
			continue
		}
		foreign = append(foreign, name)
		if isLAN(p) {
			lan = append(lan, name)
		}
	}
	found := lan
	if len(found) == 0 {
		found = foreign
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	slices.Sort(found)
	return "", configError("uplink", "", fmt.Sprintf("bridge %s has several ports that could be its way to the LAN", bridge),
		"one of "+strings.Join(found, ", "))
}

// isLAN tells the kinds of link that lead out of a node. "device" is what
// netlink calls a link of no kind: a NIC.
func isLAN(link netlink.Link) bool {
	return slices.Contains([]string{"device", "bond", "team", "vlan"}, link.Type())
}

// adoptUplink makes sure that the uplink named is a port of the bridge that
// stands. A bridge of ours that lost its uplink gets it back. One that is a port
// and down is as somebody wanted it, but for a sub-interface of ours.
func (m maker) adoptUplink(bridge int, ours bool, spec Spec) error {
	if spec.Uplink == "" {
		return nil
	}
	link, isPort, err := m.port(bridge, ours, spec)
	switch {
	case err != nil:
		return err
	case !isPort:
		return m.enslave(link, bridge)
	case link.Attrs().Alias == Alias(spec.Uplink):
		return m.raiseUplink(link)
	}
	return nil
}

// port tells whether the uplink named is a port of the bridge; an error if it is
// none and cannot become one.
func (m maker) port(bridge int, ours bool, spec Spec) (link netlink.Link, isPort bool, err error) {
	if link, err = m.namedUplink(spec.Uplink); err != nil {
		return nil, false, err
	}
	if link.Attrs().MasterIndex == bridge {
		return link, true, nil
	}
	ports, err := m.Ports(bridge)
	if err != nil {
		return nil, false, err
	}
	if other, _ := choose(spec.Bridge, ports); other != "" {
		return nil, false, configError("uplink", spec.Uplink, fmt.Sprintf("bridge %s has the uplink %s already, and two would make a loop", spec.Bridge, other),
			fmt.Sprintf("%q, or another bridge", other))
	}
	if !ours {
		return nil, false, configError("uplink", spec.Uplink, fmt.Sprintf("it is no port of bridge %s, which Podlan did not make and does not alter", spec.Bridge),
			fmt.Sprintf("a port of it (ip link set %s master %s), or no uplink, or another bridge", spec.Uplink, spec.Bridge))
	}
	return link, false, m.usable(link)
}

// findForNew returns the uplink of a bridge about to be made, nil if it is to
// have none.
func (m maker) findForNew(spec Spec) (netlink.Link, error) {
	if spec.Uplink == "" {
		return nil, nil
	}
	link, err := m.namedUplink(spec.Uplink)
	if err != nil {
		return nil, err
	}
	if master := link.Attrs().MasterIndex; master != 0 && m.isStale(master, spec.Bridge) {
		return link, nil // the bridge is removed before the new one is made
	}
	return link, m.usable(link)
}

// isStale: the link of that index is what a killed plugin left of this bridge.
func (m maker) isStale(index int, bridge string) bool {
	link, err := m.LinkByIndex(index)
	return err == nil && link.Attrs().Name == temporary(bridge, tempBridge)
}

func (m maker) namedUplink(name string) (netlink.Link, error) {
	link, err := m.Link(name)
	if errors.Is(err, rtnl.ErrNotFound) {
		return nil, configError("uplink", name, "there is no such link", candidates(m.Handle))
	}
	if err != nil {
		return nil, fmt.Errorf("uplink: %w", err)
	}
	return link, nil
}

// candidates names the links that could be an uplink, for people.
func candidates(h *rtnl.Handle) string {
	links, err := h.Links()
	if err != nil {
		return "a NIC, bond, team or VLAN of this node"
	}
	var names []string
	for _, l := range links {
		if isLAN(l) && l.Attrs().Flags&net.FlagLoopback == 0 && l.Attrs().MasterIndex == 0 {
			names = append(names, l.Attrs().Name)
		}
	}
	if len(names) == 0 {
		return "a NIC, bond, team or VLAN; this node has none that is free"
	}
	return "one of " + strings.Join(names, ", ")
}
