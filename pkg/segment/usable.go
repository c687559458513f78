package segment

import (
	"fmt"
	"net"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/rtnl"
)

// usable returns nil if the link can become a bridge's uplink without harm to
// the node, else code 7 with what stands against it.
func (m maker) usable(link netlink.Link) error {
	if err := m.sound(link); err != nil {
		return err
	}
	if err := m.free(link); err != nil {
		return err
	}
	return m.unaddressed(link)
}

// sound refuses what can lead no Pod to a LAN, whatever it is used for.
func (m maker) sound(link netlink.Link) error {
	if why := unfit(link); why != "" {
		return configError("uplink", link.Attrs().Name, why, candidates(m.Handle))
	}
	wireless, err := m.wireless(link.Attrs().Index)
	if err != nil {
		return fmt.Errorf("is uplink %s wireless: %w", link.Attrs().Name, err)
	}
	if wireless {
		return configError("uplink", link.Attrs().Name, "it is a Wi-Fi interface, and an access point takes frames of one MAC only from a client", candidates(m.Handle))
	}
	return nil
}

// unfit tells by its kind alone why a link can be no uplink.
func unfit(link netlink.Link) string {
	attrs := link.Attrs()
	switch {
	case attrs.Flags&net.FlagLoopback != 0:
		return "it is the loopback interface"
	case link.Type() == "bridge":
		return "it is a bridge itself; name it with the key \"bridge\" instead"
	case strings.HasPrefix(attrs.Name, rtnl.HostEndPrefix):
		return "it is a Pod's host end"
	case attrs.EncapType != "ether":
		return fmt.Sprintf("it is no Ethernet interface (%s)", attrs.EncapType)
	}
	return ""
}

func (m maker) free(link netlink.Link) error {
	master := link.Attrs().MasterIndex
	if master == 0 {
		return nil
	}
	name := fmt.Sprintf("index %d", master)
	if l, err := m.LinkByIndex(master); err == nil {
		name = fmt.Sprintf("%s (%s)", l.Attrs().Name, l.Type())
	}
	return configError("uplink", link.Attrs().Name, "it belongs to "+name+" already", candidates(m.Handle)+", or that one's name")
}

// unaddressed: an address of the node on a bridge port is dead, since the bridge
// takes its frames first.
func (m maker) unaddressed(link netlink.Link) error {
	addr, err := m.address(link.Attrs().Index)
	if err != nil || addr == "" {
		return err
	}
	return configError("uplink", link.Attrs().Name,
		fmt.Sprintf("it bears the node's address %s, which would be cut off", addr),
		"a NIC without an address, a VLAN sub-interface, or a bridge made by the administrator that bears the address")
}

// address returns one of the link's addresses, link-local ones apart; "" if it
// has none.
func (m maker) address(index int) (string, error) {
	addrs, err := m.Addrs(index)
	if err != nil {
		return "", fmt.Errorf("uplink: %w", err)
	}
	for _, a := range addrs {
		if !a.IP.IsLinkLocalUnicast() {
			return a.IPNet.String(), nil
		}
	}
	return "", nil
}
