package attach

import (
	"context"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/pod"
)

// lease has the IPAM plugin give an address.
func (a *add) lease(ctx context.Context) error {
	if a.conf.IPAM == "" {
		return nil
	}
	port, err := a.handover(ctx)
	if err != nil {
		return err
	}
	if err := a.delegate.handover(port); err != nil {
		return err
	}
	if err := a.recordRequest(port); err != nil {
		return err
	}
	a.asked = true
	if a.ipam, err = a.delegate.add(ctx); err != nil {
		return err
	}
	for _, ipc := range a.ipam.IPs {
		prefix, err := prefixOf(ipc.Address)
		if err != nil {
			return types.NewError(types.ErrInvalidNetworkConfig, "IPAM plugin "+a.conf.IPAM+" returned no valid address", err.Error())
		}
		a.rec.Addrs = append(a.rec.Addrs, prefix)
	}
	// On record before anything is made of them, for whoever has to undo it.
	if err := a.record(); err != nil {
		return err
	}
	return a.lowerMTU(ctx)
}

// recordRequest puts on record what podlan-dhcp is about to ask podland for: it
// makes the same of the same stdin and CNI_ARGS.
func (a *add) recordRequest(port netconf.Handover) error {
	if a.conf.IPAM != netconf.TypeDHCP {
		return nil
	}
	conf, err := netconf.ParseDHCP(a.delegate.stdin, a.args.Args)
	if err != nil {
		return err
	}
	req := conf.LeaseRequest(netconf.Interface{ContainerID: a.args.ContainerID, IfName: a.args.IfName, Netns: a.args.Netns}, port)
	a.rec.Lease = &req
	return a.record()
}

// lowerMTU gives the Pod end the MTU that came with the address, if that is less
// than what it has: never more than the link takes, nor than the conf allows.
func (a *add) lowerMTU(ctx context.Context) error {
	told := podEndMTU(a.ipam, a.args.IfName)
	if told == 0 {
		return nil
	}
	if a.mtu = a.conf.MTU; a.mtu == 0 {
		a.mtu = a.segment.MTU
	}
	if told >= a.mtu {
		return nil
	}
	a.mtu = told
	return pod.SetMTU(ctx, a.args.Netns, a.args.IfName, told)
}

// podEndMTU is what a result says of the Pod end, 0 if nothing.
func podEndMTU(result *current.Result, ifName string) int {
	for _, i := range result.Interfaces {
		if i.Name == ifName && i.Sandbox != "" {
			return i.Mtu
		}
	}
	return 0
}
