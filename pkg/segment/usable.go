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
func usable(h *rtnl.Handle, link netlink.Link, probe wirelessProbe) error {
	if why := unfit(link); why != "" {
		return configError("uplink", link.Attrs().Name, why, candidates(h))
	}
	if err := free(h, link); err != nil {
		return err
	}
	wireless, err := probe(h, link.Attrs().Index)
	if err != nil {
		return fmt.Errorf("is uplink %s wireless: %w", link.Attrs().Name, err)
	}
	if wireless {
		return configError("uplink", link.Attrs().Name, "it is a Wi-Fi interface, and an access point takes frames of one MAC only from a client", candidates(h))
	}
	return unaddressed(h, link)
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

func free(h *rtnl.Handle, link netlink.Link) error {
	master := link.Attrs().MasterIndex
	if master == 0 {
		return nil
	}
	name := fmt.Sprintf("index %d", master)
	if m, err := h.LinkByIndex(master); err == nil {
		name = fmt.Sprintf("%s (%s)", m.Attrs().Name, m.Type())
	}
	return configError("uplink", link.Attrs().Name, "it belongs to "+name+" already", candidates(h)+", or that one's name")
}

// unaddressed: an address of the node on a bridge port is dead, since the bridge
// takes its frames first.
func unaddressed(h *rtnl.Handle, link netlink.Link) error {
	addrs, err := h.Addrs(link.Attrs().Index)
	if err != nil {
		return fmt.Errorf("uplink: %w", err)
	}
	for _, a := range addrs {
		if a.IP.IsLinkLocalUnicast() {
			continue
		}
		return configError("uplink", link.Attrs().Name,
			fmt.Sprintf("it bears the node's address %s, which would be cut off", a.IPNet),
			"a NIC without an address, a VLAN sub-interface, or a bridge made by the administrator that bears the address")
	}
	return nil
}
