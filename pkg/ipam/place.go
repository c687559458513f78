package ipam

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/segment"
)

// find finds out where a foreign main plugin has put the interface.
func find(ctx context.Context, conf *netconf.DHCP, args *skel.CmdArgs) (*netconf.Handover, error) {
	end, err := findEnd(args)
	if err != nil {
		return nil, err
	}
	host, err := rtnl.Here()
	if err != nil {
		return nil, err
	}
	defer host.Close()
	port := &netconf.Handover{MAC: end.mac.String(), Bridge: conf.Main.Bridge, From: netconf.FromPod}
	if conf.From != netconf.FromPod {
		if err := overUplink(host, conf, end, port); err != nil {
			return nil, err
		}
	}
	if port.From == netconf.FromPod {
		// Its frames bear no tag, but conflicts are looked for from the bridge.
		if port.VLAN, err = vlanInBridge(host, conf); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := raise(ctx, host, args, end); err != nil {
			return nil, err
		}
	}
	port.Networks, err = host.Networks()
	return port, err
}

// podEnd is the interface as it stands in the Pod.
type podEnd struct {
	mac net.HardwareAddr
	// kind is the link's, as netlink calls it.
	kind string
	// other is the index of a veth's other end, or of the link on which a macvlan
	// or a VLAN device stands; 0 if that is not in the node's namespace.
	other int
	// vlan is a VLAN device's VID, service: of an 802.1ad tag.
	vlan    uint16
	service bool
}

func findEnd(args *skel.CmdArgs) (podEnd, error) {
	pod, err := rtnl.At(args.Netns)
	if err != nil {
		return podEnd{}, types.NewError(types.ErrInvalidEnvironmentVariables, "CNI_NETNS "+args.Netns, err.Error())
	}
	defer pod.Close()
	link, err := pod.Link(args.IfName)
	if errors.Is(err, rtnl.ErrNotFound) {
		return podEnd{}, types.NewError(types.ErrInvalidNetworkConfig,
			fmt.Sprintf("interface %q is not in the Pod yet", args.IfName),
			"podlan-dhcp serves main plugins that make the interface before they call IPAM: bridge, macvlan, vlan, podlan-bridge")
	}
	if err != nil {
		return podEnd{}, err
	}
	attrs := link.Attrs()
	end := podEnd{mac: attrs.HardwareAddr, kind: link.Type()}
	if attrs.NetNsID >= 0 {
		end.other = attrs.ParentIndex
	}
	if v, ok := link.(*netlink.Vlan); ok {
		end.vlan, end.service = uint16(v.VlanId), v.VlanProtocol == netlink.VLAN_PROTOCOL_8021AD
	}
	return end, nil
}

// child tells whether the interface stands on another link.
func (e podEnd) child() bool { return e.kind == "macvlan" || e.kind == "vlan" }

// overUplink has the port served from the uplink where topology allows it;
// otherwise it stays one that is served from the Pod, or code 7 says why not.
func overUplink(host *rtnl.Handle, conf *netconf.DHCP, end podEnd, port *netconf.Handover) error {
	uplink, err := uplinkOf(host, conf, end)
	if refused(err) && conf.Main.VLAN != 0 {
		// Several ports: those of the reference's other Pods have no name to know
		// them by.
		return fromPod(conf, err)
	}
	if err != nil {
		return err
	}
	switch {
	case uplink != "":
	case end.child():
		return fromPod(conf, noUplink("the link below the Pod's interface is not the node's (linkInContainer)"))
	default:
		return fromPod(conf, netconf.NoUplink(conf.Main.Bridge))
	}
	tag, err := tagOn(host, conf, end, uplink)
	if refused(err) {
		return fromPod(conf, err)
	}
	if err != nil {
		return err
	}
	port.From, port.Uplink, port.VLAN, port.Untagged = netconf.FromUplink, uplink, tag.vlan, tag.untagged
	if tag.notBridge {
		port.Bridge = ""
	}
	return nil
}

// refused tells whether the configuration is what has to change.
func refused(err error) bool {
	of, ok := errors.AsType[*types.Error](err)
	return ok && of.Code == types.ErrInvalidNetworkConfig
}

// fromPod is no error unless the uplink was asked for.
func fromPod(conf *netconf.DHCP, why error) error {
	if conf.From == netconf.FromUplink {
		return why
	}
	return nil
}

func uplinkOf(host *rtnl.Handle, conf *netconf.DHCP, end podEnd) (string, error) {
	switch {
	case conf.Main.Uplink != "":
		return conf.Main.Uplink, nil
	case end.child() && end.other == 0: // `linkInContainer`
		return "", nil
	case conf.Main.Master != "":
		return conf.Main.Master, nil
	case end.child():
		link, err := host.LinkByIndex(end.other)
		if err != nil {
			return "", fmt.Errorf("parent of the Pod's interface: %w", err)
		}
		return link.Attrs().Name, nil
	case conf.Main.Bridge != "":
		return bridgeUplink(host, conf, end)
	}
	return "", nil
}

// bridgeUplink is FindUplink, but never the Pod's own port: a foreign plugin's
// host end has no name to know it by.
func bridgeUplink(host *rtnl.Handle, conf *netconf.DHCP, end podEnd) (string, error) {
	uplink, err := segment.FindUplink(host, conf.Main.Bridge, "")
	if err != nil || uplink == "" {
		return "", err
	}
	link, err := host.Link(uplink)
	if err != nil || link.Attrs().Index == end.other {
		return "", err
	}
	return uplink, nil
}

// tag is what the Pod's frames bear on the uplink.
type tag struct {
	vlan     uint16
	untagged bool // the uplink carries vlan without one
	// notBridge: the bridge itself is not in that VLAN and hears nothing of it.
	notBridge bool
}

// tagOn reads it from what stands. Code 7 where podland cannot speak so.
func tagOn(host *rtnl.Handle, conf *netconf.DHCP, end podEnd, uplink string) (tag, error) {
	switch {
	case end.service:
		return tag{}, noUplink(fmt.Sprintf("the Pod's interface has 802.1ad tags (VLAN %d)", end.vlan))
	case end.kind == "vlan":
		return tag{vlan: end.vlan}, nil
	case conf.Main.VLAN == 0:
		return tag{}, nil
	}
	bridge, err := bridgeOf(host, conf)
	switch {
	case err != nil:
		return tag{}, err
	case bridge == nil:
		return tag{}, noUplink(fmt.Sprintf("how main plugin %q brings the Pod onto VLAN %d is not known to podlan-dhcp", conf.Type, conf.Main.VLAN))
	case !bridge.VLANFiltering:
		return tag{}, nil // the reference's `vlan` changes nothing there
	case bridge.ServiceVLANs:
		return tag{}, noUplink(fmt.Sprintf("bridge %s has 802.1ad VLANs", conf.Main.Bridge))
	}
	vid := uint16(conf.Main.VLAN)
	untagged, err := segment.Untagged(host, uplink, vid)
	if refused(err) {
		return tag{}, noUplink(fmt.Sprintf("%s does not carry VLAN %d (bridge vlan add dev %s vid %d)", uplink, vid, uplink, vid))
	}
	if err != nil {
		return tag{}, err
	}
	own, err := host.VLANs(bridge.index)
	if err != nil {
		return tag{}, fmt.Errorf("bridge %s: %w", conf.Main.Bridge, err)
	}
	within := slices.ContainsFunc(own, func(v rtnl.VLAN) bool { return v.VID == vid })
	return tag{vlan: vid, untagged: untagged, notBridge: !within}, nil
}

// vlanInBridge is the Pod's VLAN where the bridge tells it apart, else 0.
func vlanInBridge(host *rtnl.Handle, conf *netconf.DHCP) (uint16, error) {
	bridge, err := bridgeOf(host, conf)
	if err != nil || bridge == nil || !bridge.VLANFiltering || bridge.ServiceVLANs {
		return 0, err
	}
	return uint16(conf.Main.VLAN), nil
}

// mainBridge is the main plugin's bridge as it stands.
type mainBridge struct {
	rtnl.BridgeInfo
	index int
}

// bridgeOf returns nil where the main plugin has no bridge of this kernel's.
func bridgeOf(host *rtnl.Handle, conf *netconf.DHCP) (*mainBridge, error) {
	if conf.Main.Bridge == "" {
		return nil, nil
	}
	link, err := host.Link(conf.Main.Bridge)
	switch {
	case errors.Is(err, rtnl.ErrNotFound) || err == nil && link.Type() != "bridge":
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("bridge: %w", err)
	}
	info, err := host.Bridge(link.Attrs().Index)
	if err != nil {
		return nil, fmt.Errorf("bridge %s: %w", conf.Main.Bridge, err)
	}
	return &mainBridge{BridgeInfo: info, index: link.Attrs().Index}, nil
}

func noUplink(why string) error {
	return types.NewError(types.ErrInvalidNetworkConfig, `key "ipam.dhcpFrom": value "uplink" is refused`, "allowed: pod, or auto; "+why)
}
