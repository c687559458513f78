package segment

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
)

// build makes the bridge under its temporary name and gives it its own as the
// last step: a bridge of that name is whole, a plugin killed before left
// garbage that the next one removes. It returns the bridge, still down: before
// Linux 6.2 only a link that is down can be renamed.
func build(h *rtnl.Handle, spec Spec, probe wirelessProbe) (netlink.Link, error) {
	uplink, err := findForNew(h, spec, probe)
	if err != nil {
		return nil, err
	}
	temp := temporary(spec.Bridge)
	if err := h.Delete(temp); err != nil {
		return nil, err
	}
	if err := assemble(h, temp, spec, uplink); err != nil {
		return nil, errors.Join(err, h.Delete(temp))
	}
	link, err := h.Link(spec.Bridge)
	if err != nil {
		return nil, fmt.Errorf("bridge just made: %w", err)
	}
	return link, nil
}

func assemble(h *rtnl.Handle, temp string, spec Spec, uplink netlink.Link) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = temp
	// An address given at creation is pinned: ports that come and go do not
	// change it.
	attrs.HardwareAddr = bridgeMAC(spec.Bridge, uplink)
	if err := h.Add(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return err
	}
	link, err := h.Link(temp)
	if err != nil {
		return err
	}
	index := link.Attrs().Index
	if err := h.SetSysctls(quiet(temp)...); err != nil {
		return err
	}
	if err := h.Change(index, rtnl.Change{MTU: bridgeMTU(spec, uplink), Alias: Alias(spec.Bridge)}); err != nil {
		return err
	}
	if uplink != nil {
		if err := enslave(h, uplink, index); err != nil {
			return err
		}
	}
	return commit(h, index, spec.Bridge)
}

func commit(h *rtnl.Handle, index int, name string) error {
	if err := h.SetName(index, name); err != nil {
		return fmt.Errorf("name the new bridge %s: %w", name, err)
	}
	return nil
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

// enslave makes the uplink a port and sets it up; carrier follows when it does.
func enslave(h *rtnl.Handle, uplink netlink.Link, bridge int) error {
	attrs := uplink.Attrs()
	err := h.SetMaster(attrs.Index, bridge)
	if errors.Is(err, unix.EBUSY) {
		return configError("uplink", attrs.Name, "the kernel calls it busy: something else receives its frames (macvlan, ipvlan, a capture by team or Open vSwitch)",
			"a link of which nothing else was made, VLAN sub-interfaces excepted")
	}
	if err != nil {
		return fmt.Errorf("put uplink %s into the bridge: %w", attrs.Name, err)
	}
	if attrs.Flags&net.FlagUp != 0 {
		return nil
	}
	if err := h.SetUp(attrs.Index); err != nil {
		return fmt.Errorf("set uplink %s up: %w", attrs.Name, err)
	}
	return nil
}
