package attach

import (
	"net"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/podlan/podlan/pkg/pod"
)

// The result's interfaces, in the reference's order: bridge, host end, Pod end.
const podEndIndex = 2

func (a *add) result() (*current.Result, error) {
	bridge, err := a.links.Link(a.segment.Bridge)
	if err != nil {
		return nil, err
	}
	result := &current.Result{
		CNIVersion: current.ImplementedSpecVersion,
		Interfaces: []*current.Interface{
			{Name: a.segment.Bridge, Mac: bridge.Attrs().HardwareAddr.String()},
			{Name: a.rec.HostEnd, Mac: pod.HostMAC(a.mac).String()},
			{Name: a.args.IfName, Mac: a.mac.String(), Mtu: a.mtu, Sandbox: a.args.Netns}, // CNI 1.1 and up
		},
	}
	if err := a.addGateway(result); err != nil {
		return nil, err
	}
	if a.ipam != nil {
		result.IPs, result.Routes, result.DNS = a.ipam.IPs, a.ipam.Routes, a.ipam.DNS
		for _, ipc := range result.IPs {
			ipc.Interface = new(podEndIndex)
		}
	}
	if dns := a.conf.DNS; dns.Nameservers != nil || dns.Search != nil || dns.Options != nil || dns.Domain != "" {
		result.DNS = dns
	}
	return result, nil
}

// addGateway appends the VLAN device that bears the gateway, as the reference
// does.
func (a *add) addGateway(result *current.Result) error {
	if a.gatewayLink == "" || a.gatewayLink == a.segment.Bridge {
		return nil
	}
	link, err := a.links.Link(a.gatewayLink)
	if err != nil {
		return err
	}
	attrs := link.Attrs()
	result.Interfaces = append(result.Interfaces, &current.Interface{Name: attrs.Name, Mac: attrs.HardwareAddr.String()})
	return nil
}

// firstHost returns the first address of the network, which is what the
// reference takes for the gateway.
func firstHost(network net.IPNet) net.IP {
	base := network.IP.Mask(network.Mask)
	first := append(net.IP(nil), base...)
	for i := len(first) - 1; i >= 0; i-- {
		if first[i]++; first[i] != 0 {
			break
		}
	}
	return first
}

func defaultRouteTo(gw net.IP) *types.Route {
	any4 := net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	if gw.To4() == nil {
		any4 = net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	}
	return &types.Route{Dst: any4, GW: gw}
}
