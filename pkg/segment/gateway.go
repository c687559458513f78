package segment

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/rtnl"
)

// Gateway is the key "isGateway": it gives the bridge the address, pins its MAC,
// and has the node forward for its family. On a bridge that filters, in a VLAN
// that the bridge itself has tagged, the address goes to a VLAN device on it,
// <bridge>.<vid>, which is made. Another IPv4 address, or an IPv6 one whose
// prefix overlaps, is an error of code 7, and replaced where force says so. It
// returns the name of the link that bears the address. The caller holds the
// place's locks where the segment filters.
func Gateway(_ context.Context, h *rtnl.Handle, seg Segment, addr *net.IPNet, force bool) (name string, err error) {
	name, err = newMaker(h).gateway(seg, addr, force)
	if _, told := errors.AsType[*types.Error](err); err != nil && !told {
		err = fmt.Errorf("key \"isGateway\": %w", err)
	}
	return name, err
}

func (m maker) gateway(seg Segment, addr *net.IPNet, force bool) (string, error) {
	at, err := m.bearer(seg)
	if err != nil {
		return "", err
	}
	return at.name, m.bear(seg, at, addr, force)
}

// bear gives the link the address.
func (m maker) bear(seg Segment, at bearer, addr *net.IPNet, force bool) error {
	has, inWay, err := m.compare(at, addr)
	if err != nil {
		return err
	}
	if len(inWay) > 0 && !force {
		return configError("isGateway", "true", fmt.Sprintf("%s bears %s, and IPAM's gateway is %s", at, inWay[0].IPNet, addr),
			"an IPAM whose gateway is that one's address, or \"forceAddress\": true, which replaces it")
	}
	if err := m.SetSysctls(at.gatewaySysctls(addr)...); err != nil {
		return err
	}
	for i := range inWay {
		if err := m.DelAddr(at.index, &inWay[i]); err != nil {
			return fmt.Errorf("key \"forceAddress\": %w", err)
		}
	}
	if has {
		return nil
	}
	if err := m.AddAddr(at.index, &netlink.Addr{IPNet: addr}); err != nil {
		return err
	}
	return m.pin(seg)
}

// bearer is the link that bears a gateway's address.
type bearer struct {
	kind, name string
	index      int
	ours       bool
}

func (b bearer) String() string { return b.kind + " " + b.name }

func (m maker) bearer(seg Segment) (bearer, error) {
	bridge := bearer{"bridge", seg.Bridge, seg.Index, seg.Made}
	if !seg.Filtering || seg.VLAN == 0 {
		return bridge, nil
	}
	own, err := table(m.Handle, seg.Index)
	if err != nil || own.has[seg.VLAN] && !own.tagged[seg.VLAN] {
		return bridge, err // it takes the VLAN's frames without a tag
	}
	return m.vlanDevice(seg)
}

// NodeDevice is a link by which the node itself is on a segment.
type NodeDevice struct {
	Name  string
	Index int
	MAC   net.HardwareAddr
	// Made: Podlan made it.
	Made bool
}

// VLANDevice returns the link by which the node is in the Pods' VLAN: the bridge
// itself where that takes their frames without a tag, as with the VID 0; else the
// VLAN device on it, <bridge>.<vid>, which is made and set up where that is
// missing. It bears no address, unless isGateway gives it one, and goes with the
// last attachment of the bridge that is in the VLAN (CloseGateway). It may be
// called again. The caller holds the place's locks. Errors: code 7 where the name
// is taken, 102 for a device of others that is down.
func VLANDevice(_ context.Context, h *rtnl.Handle, bridge string, vid uint16) (NodeDevice, error) {
	return newMaker(h).nodeDevice(bridge, vid)
}

func (m maker) nodeDevice(bridge string, vid uint16) (NodeDevice, error) {
	link, err := m.Link(bridge)
	if err != nil {
		return NodeDevice{}, fmt.Errorf("bridge: %w", err)
	}
	attrs := link.Attrs()
	at, err := m.bearer(Segment{
		Bridge: attrs.Name, Index: attrs.Index, Made: attrs.Alias == Alias(attrs.Name),
		Filtering: vid != 0, VLAN: vid,
	})
	if err != nil {
		return NodeDevice{}, err
	}
	if link, err = m.LinkByIndex(at.index); err != nil {
		return NodeDevice{}, err
	}
	return NodeDevice{Name: at.name, Index: at.index, MAC: link.Attrs().HardwareAddr, Made: at.ours}, nil
}

// vlanDevice makes sure of the VLAN device on the bridge, whoever made it.
func (m maker) vlanDevice(seg Segment) (bearer, error) {
	bridge, err := m.LinkByIndex(seg.Index)
	if err != nil {
		return bearer{}, err
	}
	link, err := m.device(bridge, device{
		vid: seg.VLAN, proto: netlink.VLAN_PROTOCOL_8021Q, what: "gateway",
		name: deviceName(seg.Bridge, seg.VLAN), temp: temporary(seg.Bridge, tempGateway),
	})
	if err != nil {
		return bearer{}, err
	}
	attrs := link.Attrs()
	ours := attrs.Alias == Alias(attrs.Name)
	if attrs.Flags&net.FlagUp == 0 {
		if err := m.raise("VLAN device", attrs, ours); err != nil {
			return bearer{}, err
		}
	}
	return bearer{"VLAN device", attrs.Name, attrs.Index, ours}, nil
}

// CloseGateway removes the VLAN device that Gateway made on a filtering bridge,
// once no attachment of the bridge is in that VLAN any more. The caller holds the
// locks of Locks.
func CloseGateway(h *rtnl.Handle, bridge string, vid uint16) error {
	return newMaker(h).closeGateway(bridge, vid)
}

func (m maker) closeGateway(bridge string, vid uint16) error {
	link, err := m.Link(bridge)
	if errors.Is(err, rtnl.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return m.closeGateways(link.Attrs().Index, vid)
}

// closeGateways removes the gateways' VLAN devices on the bridge, of the VIDs
// given or of all.
func (m maker) closeGateways(bridge int, vids ...uint16) error {
	devices, err := m.LinksOfKind("vlan")
	if err != nil {
		return err
	}
	for _, link := range devices {
		vlan, ok := link.(*netlink.Vlan)
		if !ok || !stands(vlan, bridge, netlink.VLAN_PROTOCOL_8021Q) || vlan.Alias != Alias(vlan.Name) {
			continue
		}
		if len(vids) == 0 || len(vids) == 1 && int(vids[0]) == vlan.VlanId {
			err = errors.Join(err, m.Delete(vlan.Name))
		}
	}
	m.step("segment.gateway.closed")
	return err
}

// pin keeps the MAC that the bridge has now: that of a bridge whose only ports
// are Pods changes as they come and go, and those that stay would lose their
// gateway. One that Podlan made was made with it pinned.
func (m maker) pin(seg Segment) error {
	if seg.Made {
		return nil
	}
	link, err := m.LinkByIndex(seg.Index)
	if err != nil {
		return err
	}
	return m.SetMAC(seg.Index, link.Attrs().HardwareAddr)
}

// compare tells whether the link has the address, and which others are in its
// way.
func (m maker) compare(at bearer, addr *net.IPNet) (has bool, inWay []netlink.Addr, err error) {
	addrs, err := m.Addrs(at.index)
	if err != nil {
		return false, nil, err
	}
	is4 := addr.IP.To4() != nil
	for _, a := range addrs {
		switch {
		case a.IPNet.String() == addr.String():
			has = true
		case (a.IP.To4() != nil) != is4:
		case is4, a.Contains(addr.IP), addr.Contains(a.IP):
			inWay = append(inWay, a)
		}
	}
	return has, inWay, nil
}

// gatewaySysctls lets the node forward, and gives a link that Podlan made the
// IPv6 that it was made without.
func (b bearer) gatewaySysctls(addr *net.IPNet) []rtnl.Sysctl {
	if addr.IP.To4() != nil {
		return []rtnl.Sysctl{{Path: "net/ipv4/ip_forward", Value: "1"}}
	}
	forward := rtnl.Sysctl{Path: "net/ipv6/conf/all/forwarding", Value: "1"}
	if !b.ours {
		return []rtnl.Sysctl{forward}
	}
	return []rtnl.Sysctl{{Path: "net/ipv6/conf/" + b.name + "/disable_ipv6", Value: "0"}, forward}
}
