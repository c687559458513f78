package ipam

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/podlan/podlan/pkg/identity"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/segment"
)

// request puts together what podland is asked for.
func request(ctx context.Context, conf *netconf.DHCP, args *skel.CmdArgs) (leaseapi.Request, error) {
	deadline, _ := ctx.Deadline()
	clientID := conf.ClientID
	if clientID == nil {
		clientID = identity.Attachment(conf.Name, args.IfName, conf.Pod.UID, args.ContainerID).ClientID()
	}
	req := leaseapi.Request{
		ClientID:         clientID,
		Netns:            args.Netns,
		BudgetMS:         netconf.LeaseShareMS(time.Until(deadline)),
		ParameterRequest: conf.ParameterRequest,
		Pod:              conf.Pod.String(),
	}
	for code, value := range conf.Send {
		if req.Send == nil {
			req.Send = map[uint8]leaseapi.HexBytes{}
		}
		req.Send[code] = value
	}
	if h := conf.Handover; h != nil {
		fromHandover(&req, h)
		return req, nil
	}
	return req, fromMainPlugin(&req, conf, args)
}

// fromHandover takes what podlan-bridge has found out already.
func fromHandover(req *leaseapi.Request, h *netconf.Handover) {
	req.MAC = h.MAC
	req.Bridge, req.Uplink = h.Bridge, h.Uplink
	req.Transport = leaseapi.Transport(h.From)
	req.Confirm = leaseapi.ByRecord
	if h.BudgetMS > 0 {
		req.BudgetMS = h.BudgetMS
	}
}

// fromMainPlugin finds out where a foreign main plugin has put the interface.
func fromMainPlugin(req *leaseapi.Request, conf *netconf.DHCP, args *skel.CmdArgs) error {
	req.Confirm = leaseapi.ByAddress
	req.Bridge = conf.Main.Bridge
	mac, parent, err := podEnd(args)
	if err != nil {
		return err
	}
	req.MAC = mac.String()
	host, err := rtnl.Here()
	if err != nil {
		return err
	}
	defer host.Close()
	req.Transport, req.Uplink, err = transport(host, conf, parent)
	return err
}

// podEnd returns the interface's address and the index of its parent in the
// node's namespace, 0 if it has none there.
func podEnd(args *skel.CmdArgs) (mac net.HardwareAddr, parent int, err error) {
	pod, err := rtnl.At(args.Netns)
	if err != nil {
		return nil, 0, types.NewError(types.ErrInvalidEnvironmentVariables, "CNI_NETNS "+args.Netns, err.Error())
	}
	defer pod.Close()
	link, err := pod.Link(args.IfName)
	if errors.Is(err, rtnl.ErrNotFound) {
		return nil, 0, types.NewError(types.ErrInvalidNetworkConfig,
			fmt.Sprintf("interface %q is not in the Pod yet", args.IfName),
			"podlan-dhcp serves main plugins that make the interface before they call IPAM: bridge, macvlan, vlan, podlan-bridge")
	}
	if err != nil {
		return nil, 0, err
	}
	attrs := link.Attrs()
	if link.Type() == "macvlan" || link.Type() == "vlan" {
		parent = attrs.ParentIndex
	}
	return attrs.HardwareAddr, parent, nil
}

// transport decides from where podland speaks, by topology alone.
func transport(host *rtnl.Handle, conf *netconf.DHCP, parent int) (leaseapi.Transport, string, error) {
	tagged := conf.Main.VLAN != 0 || conf.Type == "vlan"
	if conf.From == netconf.FromPod || conf.From == netconf.FromAuto && tagged {
		return leaseapi.FromPod, "", nil
	}
	if tagged {
		return "", "", types.NewError(types.ErrInvalidNetworkConfig, `key "ipam.dhcpFrom": value "uplink" is refused`,
			"allowed on a VLAN: pod, or auto; this release speaks from untagged uplinks only")
	}
	uplink, err := uplinkOf(host, conf, parent)
	if err != nil {
		return "", "", err
	}
	switch {
	case uplink != "":
		return leaseapi.FromUplink, uplink, nil
	case conf.From == netconf.FromUplink:
		return "", "", netconf.NoUplink(conf.Main.Bridge)
	}
	return leaseapi.FromPod, "", nil
}

func uplinkOf(host *rtnl.Handle, conf *netconf.DHCP, parent int) (string, error) {
	switch {
	case conf.Main.Uplink != "":
		return conf.Main.Uplink, nil
	case conf.Main.Master != "":
		return conf.Main.Master, nil
	case parent != 0:
		link, err := host.LinkByIndex(parent)
		if err != nil {
			return "", fmt.Errorf("parent of the Pod's interface: %w", err)
		}
		return link.Attrs().Name, nil
	case conf.Main.Bridge != "":
		return segment.FindUplink(host, conf.Main.Bridge, "")
	}
	return "", nil
}
