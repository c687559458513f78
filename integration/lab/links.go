package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// linkUp sets a link of the namespace up.
func (n *Netns) linkUp(name string) error {
	return n.WithLink(name, func(h *netlink.Handle, link netlink.Link) error { return h.LinkSetUp(link) })
}

// SetLink sets a link up or down, as a person would pull a cable.
func (n *Netns) SetLink(name string, up bool) error {
	if up {
		return n.linkUp(name)
	}
	return n.WithLink(name, func(h *netlink.Handle, link netlink.Link) error { return h.LinkSetDown(link) })
}

// AddAddress gives a link of the namespace an address.
func (n *Netns) AddAddress(name string, a netip.Prefix) error {
	return n.WithLink(name, func(h *netlink.Handle, link netlink.Link) error {
		return h.AddrAdd(link, &netlink.Addr{IPNet: ipNet(a)})
	})
}

// DelAddress takes an address from a link of the namespace.
func (n *Netns) DelAddress(name string, a netip.Prefix) error {
	return n.WithLink(name, func(h *netlink.Handle, link netlink.Link) error {
		return h.AddrDel(link, &netlink.Addr{IPNet: ipNet(a)})
	})
}

// WithLink runs f with a link of the namespace; errors name both.
func (n *Netns) WithLink(name string, f func(*netlink.Handle, netlink.Link) error) error {
	h, err := n.Netlink()
	if err != nil {
		return err
	}
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s in %s: %w", name, n.name, err)
	}
	if err := f(h, link); err != nil {
		return fmt.Errorf("link %s in %s: %w", name, n.name, err)
	}
	return nil
}

// vethSpec describes a veth whose one end is in another namespace.
type vethSpec struct {
	name     string
	mtu      int
	peer     string
	peerNS   *Netns
	peerMAC  net.HardwareAddr
	peerDown bool
}

// addVeth makes a veth with its near end in n; both ends are up.
func (n *Netns) addVeth(s vethSpec) error {
	h, err := n.Netlink()
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = s.name, s.mtu
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: s.peer, PeerMTU: uint32(s.mtu),
		PeerNamespace: netlink.NsFd(s.peerNS.FD()), PeerHardwareAddr: s.peerMAC,
	}
	if err := h.LinkAdd(veth); err != nil {
		return fmt.Errorf("veth %s in %s, %s in %s: %w", s.name, n.name, s.peer, s.peerNS.name, err)
	}
	if err := n.linkUp(s.name); err != nil {
		return err
	}
	if s.peerDown {
		return nil
	}
	if err := s.peerNS.linkUp(s.peer); err != nil {
		return err
	}
	return errors.Join(n.awaitUp(s.name), s.peerNS.awaitUp(s.peer))
}

// awaitUp waits until the kernel has made the link operational, which may be a
// second after its cable was plugged in at both ends (net/core/link_watch.c): until
// then bridges drop what is to leave by it.
func (n *Netns) awaitUp(name string) error {
	return Until(n.lab.tb.Context(), func() error {
		return n.WithLink(name, func(_ *netlink.Handle, link netlink.Link) error {
			if state := link.Attrs().OperState; state != netlink.OperUp {
				return fmt.Errorf("it is %s", state)
			}
			return nil
		})
	})
}

// bridgeSpec describes a bridge as an administrator makes one.
type bridgeSpec struct {
	name         string
	mac          net.HardwareAddr // nil: the kernel's rule, the lowest of the ports'
	mtu          int
	snooping     bool
	stp          bool
	forwardDelay time.Duration
	filtering    bool   // tells VLANs apart; ports are in VLAN 1, untagged
	protocol     uint16 // of its VLANs' tags, 802.1Q if 0
}

// addBridge makes a bridge and sets it up.
func (n *Netns) addBridge(s bridgeSpec) error {
	h, err := n.Netlink()
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = s.name, s.mtu, s.mac
	bridge := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &s.snooping}
	if s.filtering {
		bridge.VlanFiltering = &s.filtering
	}
	if err := h.LinkAdd(bridge); err != nil {
		return fmt.Errorf("bridge %s in %s: %w", s.name, n.name, err)
	}
	if s.stp {
		if err := n.setSTP(s.name, s.forwardDelay); err != nil {
			return err
		}
	}
	if s.protocol != 0 {
		err := n.setBridge(s.name, func(data *nl.RtAttr) {
			data.AddRtAttr(nl.IFLA_BR_VLAN_PROTOCOL, binary.BigEndian.AppendUint16(nil, s.protocol))
		})
		if err != nil {
			return err
		}
	}
	return n.linkUp(s.name)
}

// setSTP turns the kernel's spanning tree on.
func (n *Netns) setSTP(bridge string, forwardDelay time.Duration) error {
	return n.setBridge(bridge, func(data *nl.RtAttr) {
		data.AddRtAttr(nl.IFLA_BR_STP_STATE, nl.Uint32Attr(1))
		if forwardDelay > 0 { // in hundredths of a second
			data.AddRtAttr(nl.IFLA_BR_FORWARD_DELAY, nl.Uint32Attr(uint32(forwardDelay/(10*time.Millisecond))))
		}
	})
}

// setBridge changes attributes that netlink.Bridge lacks. Not by sysfs, which
// shows the namespace that mounted it and not this one.
func (n *Netns) setBridge(bridge string, change func(data *nl.RtAttr)) error {
	return n.WithLink(bridge, func(_ *netlink.Handle, link netlink.Link) error {
		req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
		msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
		msg.Index = int32(link.Attrs().Index)
		req.AddData(msg)
		info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
		info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
		change(info.AddRtAttr(nl.IFLA_INFO_DATA, nil))
		req.AddData(info)
		return n.Do(func() error {
			_, err := req.Execute(unix.NETLINK_ROUTE, 0)
			return err
		})
	})
}

// enslave makes a link a port of a bridge.
func (n *Netns) enslave(port, bridge string) error {
	return n.WithLink(port, func(h *netlink.Handle, link netlink.Link) error {
		master, err := h.LinkByName(bridge)
		if err != nil {
			return fmt.Errorf("bridge %s: %w", bridge, err)
		}
		return h.LinkSetMaster(link, master)
	})
}

// addDefaultRoute adds a default route by a gateway.
func (n *Netns) addDefaultRoute(dev string, gw netip.Addr) error {
	return n.WithLink(dev, func(h *netlink.Handle, link netlink.Link) error {
		return h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gw.AsSlice()})
	})
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
