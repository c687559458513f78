package ipam

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/podlan/podlan/pkg/boottime"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/segment"
)

// request puts together what podland is asked for.
func request(ctx context.Context, conf *netconf.DHCP, args *skel.CmdArgs) (leaseapi.Request, error) {
	port := conf.Handover
	if port == nil {
		var err error
		if port, err = find(conf, args); err != nil {
			return leaseapi.Request{}, err
		}
	}
	deadline, _ := ctx.Deadline()
	switch {
	case port.Deadline != 0:
		port.BudgetMS = netconf.LeaseShareMS(port.Deadline - boottime.Now())
	case port.BudgetMS == 0:
		port.BudgetMS = netconf.LeaseShareMS(time.Until(deadline))
	}
	of := netconf.Interface{ContainerID: args.ContainerID, IfName: args.IfName, Netns: args.Netns}
	return conf.LeaseRequest(of, *port), nil
}

// find finds out where a foreign main plugin has put the interface.
func find(conf *netconf.DHCP, args *skel.CmdArgs) (*netconf.Handover, error) {
	mac, parent, err := podEnd(args)
	if err != nil {
		return nil, err
	}
	host, err := rtnl.Here()
	if err != nil {
		return nil, err
	}
	defer host.Close()
	port := &netconf.Handover{MAC: mac.String(), Bridge: conf.Main.Bridge}
	if port.From, port.Uplink, err = from(host, conf, parent); err != nil {
		return nil, err
	}
	port.Networks, err = host.Networks()
	return port, err
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

// from decides from where podland speaks, by topology alone.
func from(host *rtnl.Handle, conf *netconf.DHCP, parent int) (netconf.From, string, error) {
	tagged := conf.Main.VLAN != 0 || conf.Type == "vlan"
	if conf.From == netconf.FromPod || conf.From == netconf.FromAuto && tagged {
		return netconf.FromPod, "", nil
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
		return netconf.FromUplink, uplink, nil
	case conf.From == netconf.FromUplink:
		return "", "", netconf.NoUplink(conf.Main.Bridge)
	}
	return netconf.FromPod, "", nil
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
