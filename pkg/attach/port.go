package attach

import (
	"context"
	"net"
	"net/netip"

	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/plugins/pkg/ip"

	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/segment"
)

// open installs the guard's elements for the port, before the port forwards.
func (a *add) open(ctx context.Context) error {
	if !a.conf.Guard {
		return nil
	}
	return a.guard.Add(ctx, a.rec.GuardPort())
}

// admit adds the addresses to a port that had to forward before they were
// known.
func (a *add) admit(ctx context.Context) error {
	if !a.conf.Guard {
		return nil
	}
	before := a.rec.GuardPort()
	before.Addrs = nil
	return a.guard.Set(ctx, before, a.rec.GuardPort())
}

// configure sets the Pod end up, with whatever addresses are known.
func (a *add) configure(ctx context.Context) error {
	if a.conf.NoPodEnd {
		return nil
	}
	cfg := pod.IPConfig{EnableDAD: a.conf.EnableDAD}
	if a.ipam != nil {
		if err := a.completeGateways(); err != nil {
			return err
		}
		cfg.IPs, cfg.Routes = a.ipam.IPs, a.ipam.Routes
	}
	return pod.Configure(ctx, a.args.Netns, a.args.IfName, cfg)
}

// join makes the host end a port of the bridge and waits until it forwards.
func (a *add) join(ctx context.Context) error {
	flags := pod.PortFlags{Hairpin: a.conf.Hairpin, Isolated: a.conf.PortIsolation, Learning: !a.conf.Guard}
	if err := pod.Join(ctx, a.links, a.rec.HostEnd, a.segment.Index, a.mac, flags); err != nil {
		return err
	}
	if a.conf.NoPodEnd {
		return nil // without carrier there is nothing to wait for
	}
	return pod.WaitForwarding(ctx, a.links, a.rec.HostEnd)
}

// completeGateways does what the reference's `isGateway` and
// `isDefaultGateway` do to an IPAM result.
func (a *add) completeGateways() error {
	if !a.conf.IsGateway {
		return nil
	}
	for _, ipc := range a.ipam.IPs {
		if ipc.Gateway == nil {
			ipc.Gateway = firstHost(ipc.Address)
		}
		if a.conf.IsDefaultGateway {
			a.defaultRoute(ipc)
		}
	}
	return nil
}

// defaultRoute adds one for the address's family, if IPAM gave none.
func (a *add) defaultRoute(ipc *current.IPConfig) {
	route := defaultRouteTo(ipc.Gateway)
	for _, r := range a.ipam.Routes {
		if r.GW != nil && r.Dst.String() == route.Dst.String() {
			return
		}
	}
	a.ipam.Routes = append(a.ipam.Routes, route)
}

// gateway puts the gateways' addresses on the bridge (`isGateway`).
func (a *add) gateway(ctx context.Context) error {
	if !a.conf.IsGateway {
		return nil
	}
	for _, ipc := range a.ipam.IPs {
		addr := &net.IPNet{IP: ipc.Gateway, Mask: ipc.Address.Mask}
		if err := segment.Gateway(ctx, a.links, a.segment, addr, a.conf.ForceAddress); err != nil {
			return err
		}
	}
	return nil
}

// masquerade is the reference's own code (`ipMasq`): who reads the rules finds
// what the reference would have written.
func (a *add) masquerade(context.Context) error {
	if !a.conf.IPMasq {
		return nil
	}
	a.rec.Masq = true
	if err := a.record(); err != nil {
		return err
	}
	var nets []*net.IPNet
	for _, ipc := range a.ipam.IPs {
		nets = append(nets, &ipc.Address)
	}
	var backend *string
	if a.conf.IPMasqBackend != "" {
		backend = &a.conf.IPMasqBackend
	}
	return ip.SetupIPMasqForNetworks(backend, nets, a.conf.Name, a.args.IfName, a.args.ContainerID)
}

// announce tells the LAN where the addresses are now.
func (a *add) announce(ctx context.Context) error {
	if len(a.rec.Addrs) == 0 {
		return nil
	}
	var addrs []netip.Addr
	for _, prefix := range a.rec.Addrs {
		addrs = append(addrs, prefix.Addr())
	}
	return pod.Announce(ctx, a.links, a.segment.Bridge, a.mac, addrs)
}
