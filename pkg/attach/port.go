package attach

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/plugins/pkg/ip"

	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/segment"
)

// open installs the guard's elements for the port, before the port forwards. It
// comes again, with the addresses, where the port had to forward before they
// were known: what stood for the port is replaced in one batch.
func (a *add) open(ctx context.Context) error {
	if a.conf.Guard.Off {
		return nil
	}
	return a.guard.Add(ctx, a.rec.GuardPort())
}

// configure sets the Pod end up, with whatever addresses are known.
func (a *add) configure(ctx context.Context) error {
	if a.conf.NoPodEnd {
		return nil
	}
	if a.ipam != nil {
		a.completeGateways()
	}
	return pod.Configure(ctx, a.args.Netns, a.args.IfName, ipConfig(a.conf, a.ipam))
}

// ipConfig is what a result means for the Pod end; nil for none.
func ipConfig(conf *netconf.Bridge, result *current.Result) pod.IPConfig {
	cfg := pod.IPConfig{EnableDAD: conf.EnableDAD, LayerTwo: conf.IPAM == ""}
	if result == nil {
		return cfg
	}
	for _, ipc := range result.IPs {
		prefix, err := prefixOf(ipc.Address)
		if err != nil {
			continue // lease has refused it before
		}
		gateway, _ := netip.AddrFromSlice(ipc.Gateway)
		cfg.Addrs = append(cfg.Addrs, pod.Addr{Prefix: prefix, Gateway: gateway.Unmap()})
	}
	cfg.Routes = result.Routes
	return cfg
}

func prefixOf(n net.IPNet) (netip.Prefix, error) {
	addr, ok := netip.AddrFromSlice(n.IP)
	bits, size := n.Mask.Size()
	if !ok || size == 0 {
		return netip.Prefix{}, fmt.Errorf("%v is no address with a prefix length", n)
	}
	return netip.PrefixFrom(addr.Unmap(), bits), nil
}

// join makes the host end a port of the bridge and waits until it forwards.
func (a *add) join(ctx context.Context) error {
	bridged, err := leg.BridgeNF(a.links)
	if err != nil {
		return err
	}
	if err := pod.Join(ctx, a.links, a.rec.HostEnd, a.segment.Index, a.mac, a.rec.PortFlags(bridged)); err != nil {
		return err
	}
	if a.conf.NoPodEnd {
		return nil // without carrier there is nothing to wait for
	}
	return pod.WaitForwarding(ctx, a.links, a.rec.HostEnd)
}

// settle waits for the Pod's own check of its addresses (`enabledad`).
func (a *add) settle(ctx context.Context) error {
	return pod.Settle(ctx, a.args.Netns, a.args.IfName, ipConfig(a.conf, a.ipam))
}

// completeGateways does what the reference's `isGateway` and
// `isDefaultGateway` do to an IPAM result.
func (a *add) completeGateways() {
	if !a.conf.IsGateway {
		return
	}
	for _, ipc := range a.ipam.IPs {
		if ipc.Gateway == nil {
			ipc.Gateway = firstHost(ipc.Address)
		}
		if a.conf.IsDefaultGateway {
			a.defaultRoute(ipc)
		}
	}
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

// gateway puts the gateways' addresses on the bridge, or on its VLAN
// (`isGateway`).
func (a *add) gateway(ctx context.Context) error {
	if !a.conf.IsGateway {
		return nil
	}
	unlock, err := a.store.LockSegment(ctx, a.rec.Place().Locks())
	if err != nil {
		return notLocked(ctx, err)
	}
	defer unlock()
	for _, ipc := range a.ipam.IPs {
		addr := &net.IPNet{IP: ipc.Gateway, Mask: ipc.Address.Mask}
		a.gatewayLink, err = segment.Gateway(ctx, a.links, a.segment, addr, a.conf.ForceAddress)
		if err != nil {
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
	return pod.AnnounceFromPod(ctx, a.args.Netns, a.args.IfName, a.mac)
}
