package segment

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
)

// build makes the bridge under its temporary name and gives it its own as the
// last step: a bridge of that name is whole, a plugin killed before left
// garbage that the next one removes. It returns the bridge, still down: before
// Linux 6.2 only a link that is down can be renamed.
func (m maker) build(spec Spec, filtering bool) (netlink.Link, error) {
	uplink, err := m.findForNew(spec)
	if err != nil {
		return nil, err
	}
	temp := temporary(spec.Bridge, tempBridge)
	if err := m.Delete(temp); err != nil {
		return nil, err
	}
	if err := m.assemble(temp, spec, uplink, filtering); err != nil {
		return nil, errors.Join(err, m.Delete(temp))
	}
	link, err := m.Link(spec.Bridge)
	if err != nil {
		return nil, fmt.Errorf("bridge just made: %w", err)
	}
	return link, nil
}

func (m maker) assemble(temp string, spec Spec, uplink netlink.Link, filtering bool) error {
	bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
	bridge.Name = temp
	// An address given at creation is pinned: ports that come and go do not
	// change it.
	bridge.HardwareAddr = bridgeMAC(spec.Bridge, uplink)
	if filtering {
		bridge.VlanFiltering, bridge.VlanDefaultPVID = new(true), new(uint16(defaultPVID))
	}
	err := m.Add(bridge)
	if err == nil && filtering {
		err = m.filters(temp)
	}
	if filtering && errors.Is(err, unix.EOPNOTSUPP) {
		return configError("vlanMode", string(netconf.ModeFiltering), "this kernel has no VLAN filtering in bridges",
			string(netconf.ModeSubinterface)+", or a kernel with CONFIG_BRIDGE_VLAN_FILTERING")
	}
	if err != nil {
		return err
	}
	return m.finish(temp, spec.Bridge, "bridge", bridgeMTU(spec, uplink), func(index int) error {
		if uplink == nil {
			return nil
		}
		return m.enslave(uplink, index)
	})
}

// filters is EOPNOTSUPP where the kernel has taken no notice of the wish.
func (m maker) filters(bridge string) error {
	link, err := m.Link(bridge)
	if err != nil {
		return err
	}
	info, err := m.Bridge(link.Attrs().Index)
	if err == nil && !info.VLANFiltering {
		err = unix.EOPNOTSUPP
	}
	return err
}

// quiet are the settings that keep the node itself off the segment: no IPv6, no
// router taken, and ARP answered only for addresses of the bridge itself.
func quiet(bridge string) []rtnl.Sysctl {
	v6, v4 := "net/ipv6/conf/"+bridge+"/", "net/ipv4/conf/"+bridge+"/"
	return []rtnl.Sysctl{
		{Path: v6 + "accept_ra", Value: "0"},
		{Path: v6 + "autoconf", Value: "0"},
		{Path: v6 + "disable_ipv6", Value: "1"},
		{Path: v4 + "arp_ignore", Value: "1"},
	}
}

// bridgeMAC is the uplink's, so that no address is new to the switch, else one
// made from the name.
func bridgeMAC(bridge string, uplink netlink.Link) net.HardwareAddr {
	if uplink != nil {
		return uplink.Attrs().HardwareAddr
	}
	sum := sha256.Sum256([]byte(bridge))
	return append(net.HardwareAddr{0x02}, sum[:5]...)
}

func bridgeMTU(spec Spec, uplink netlink.Link) int {
	switch {
	case uplink != nil:
		return uplink.Attrs().MTU
	case spec.MTU != 0:
		return spec.MTU
	}
	return defaultMTU
}

// enslave makes the uplink a port and sets it up.
func (m maker) enslave(uplink netlink.Link, bridge int) error {
	attrs := uplink.Attrs()
	err := m.SetMaster(attrs.Index, bridge)
	if errors.Is(err, unix.EBUSY) {
		return configError("uplink", attrs.Name, "the kernel calls it busy: something else receives its frames (macvlan, ipvlan, a capture by team or Open vSwitch)",
			"a link of which nothing else was made, VLAN sub-interfaces excepted")
	}
	if err != nil {
		return fmt.Errorf("put uplink %s into the bridge: %w", attrs.Name, err)
	}
	m.step("segment.uplink.joined")
	return m.raiseUplink(uplink)
}

// raiseUplink sets a link up that leads to the LAN; carrier follows when it
// does.
func (m maker) raiseUplink(link netlink.Link) error {
	attrs := link.Attrs()
	if attrs.Flags&net.FlagUp != 0 {
		return nil
	}
	if err := m.SetUp(attrs.Index); err != nil {
		return fmt.Errorf("set uplink %s up: %w", attrs.Name, err)
	}
	m.step("segment.uplink.up")
	return nil
}

// finish makes a new link under its temporary name quiet, gives it its MTU and
// Podlan's mark, has join do the rest, and gives it its own name: the commit.
func (m maker) finish(temp, name, what string, mtu int, join func(index int) error) error {
	m.step("segment." + what + ".made")
	if err := m.SetSysctls(quiet(temp)...); err != nil {
		return err
	}
	m.step("segment." + what + ".quiet")
	link, err := m.Link(temp)
	if err != nil {
		return err
	}
	index := link.Attrs().Index
	if err := m.Change(index, rtnl.Change{MTU: mtu, Alias: Alias(name)}); err != nil {
		return err
	}
	m.step("segment." + what + ".marked")
	if err := join(index); err != nil {
		return err
	}
	if err := m.SetName(index, name); err != nil {
		return fmt.Errorf("give a new link the name %s: %w", name, err)
	}
	m.step("segment." + what + ".named")
	return nil
}

// alone is finish's join for a link that joins nothing.
func alone(int) error { return nil }
