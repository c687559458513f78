package attachment

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/plugins/pkg/ip"

	"github.com/podlan/podlan/pkg/boottime"
	"github.com/podlan/podlan/pkg/guard"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/segment"
)

// Teardown takes attachments down. All its steps are idempotent, and each is
// tried even if one before it failed. The caller holds the attachment's lock.
type Teardown struct {
	Links *rtnl.Handle
	Guard *guard.Guard
	Legs  *leg.Node
	Store *Store
}

// CloseUp ends the Pod's traffic and leaves its interface: the first half of a
// DEL, so that no frame with the address follows its release.
func (t Teardown) CloseUp(rec Record) error {
	link, err := t.Links.Link(rec.HostEnd)
	if err == nil {
		err = t.Links.SetDown(link.Attrs().Index)
	}
	if errors.Is(err, rtnl.ErrNotFound) {
		return nil
	}
	return err
}

// Remove takes away everything that the record names, at last the record. The
// address is not its business: IPAM's, or podland's.
func (t Teardown) Remove(ctx context.Context, rec Record) error {
	// The guard closes the port, so it may go first; the link's end then hides
	// the kernel's wait for what the guard removed.
	err := errors.Join(
		t.removeGuard(ctx, rec),
		t.removeLeg(ctx, rec),
		pod.Delete(t.Links, rec.HostEnd),
		removeMasquerade(rec),
	)
	if err := t.forget(ctx, rec, err); err != nil {
		return fmt.Errorf("take down %s: %w", rec.Key, err)
	}
	return t.removeTable(ctx, rec)
}

// forget lets the segment go, and the record unless something else failed. Both
// are done under the segment's locks: of two attachments that end at once, each
// would take the other for one that stays.
func (t Teardown) forget(ctx context.Context, rec Record, failed error) error {
	ours, err := t.hasPart(rec)
	if err != nil {
		return errors.Join(failed, err)
	}
	if ours {
		unlock, err := t.Store.LockSegment(ctx, rec.Place().Locks())
		if err != nil {
			return errors.Join(failed, err)
		}
		defer unlock()
		failed = errors.Join(failed, t.letGo(ctx, rec))
	}
	if failed != nil {
		return failed
	}
	return t.Store.Delete(rec.Key)
}

// hasPart tells whether anything of the record's segment may be Podlan's: all is
// somebody else's where the bridge is, and no VLAN was asked for.
func (t Teardown) hasPart(rec Record) (bool, error) {
	if rec.Bridge == "" {
		return false, nil
	}
	if rec.Filtering || rec.Parent != "" {
		return true, nil
	}
	link, err := t.Links.Link(rec.Bridge)
	if errors.Is(err, rtnl.ErrNotFound) {
		return rec.State == Intent, nil // its ADD may have died over the bridge
	}
	if err != nil {
		return false, err
	}
	return link.Attrs().Alias == segment.Alias(rec.Bridge), nil
}

// letGo takes back what Podlan has made of the record's segment and no other
// attachment needs. The caller holds the segment's locks.
func (t Teardown) letGo(ctx context.Context, rec Record) error {
	others, all, err := t.Store.others(rec.Bridge, rec.Key)
	if err != nil || !all {
		return err
	}
	if rec.PVID() != 0 && !slices.ContainsFunc(others, func(o Record) bool { return o.PVID() == rec.PVID() }) {
		err = segment.CloseGateway(t.Links, rec.Bridge, rec.PVID())
	}
	if err := errors.Join(err, t.takeBack(rec, others)); err != nil || len(others) > 0 {
		return err
	}
	return segment.Release(ctx, t.Links, rec.Bridge, rec.Uplink)
}

// takeBack empties the VLAN tables of what was granted in this boot's time: in
// another's, the administrator may have granted it.
func (t Teardown) takeBack(rec Record, others []Record) error {
	bootID, err := boottime.BootID()
	if err != nil || rec.BootID != bootID {
		return err
	}
	return segment.TakeBack(t.Links, rec.Bridge, rec.Uplink, unclaimed(rec, others))
}

func (t Teardown) removeGuard(ctx context.Context, rec Record) error {
	if !rec.Guard {
		return nil
	}
	return t.ifUsable(ctx, t.Guard.Remove(ctx, rec.GuardPort()))
}

// ifUsable drops an error of the guard's if the kernel does not even answer a
// question about it: without nftables nothing stands, and a DEL that failed for
// it would fail for ever.
func (t Teardown) ifUsable(ctx context.Context, failed error) error {
	if failed == nil {
		return nil
	}
	_, err := t.Guard.Drops(ctx)
	if unusable, ok := errors.AsType[*types.Error](err); ok && unusable.Code == uint(leaseapi.CodeGuard) {
		return nil
	}
	return failed
}

// removeTable leaves no rule behind once the last attachment is gone.
func (t Teardown) removeTable(ctx context.Context, rec Record) error {
	if empty, err := t.Store.Empty(); !rec.Guard || err != nil || !empty {
		return err
	}
	return t.ifUsable(ctx, t.Guard.Uninstall(ctx, t.Store.Empty))
}

// GuardPort returns the record's port as the guard knows it.
func (r Record) GuardPort() guard.Port {
	port := guard.Port{
		Name: r.HostEnd, MAC: r.HardwareAddr(), LayerTwo: r.IPAM == "",
		DHCPClient: r.DHCP || r.Opened.DHCPClient, DHCPServer: r.Opened.DHCPServer,
		RouterAdvertisement: r.Opened.RouterAdvertisement, VRRP: r.Opened.VRRP, MulticastRouting: r.Opened.MulticastRouting,
		ExtraAddrs: r.Opened.ExtraIPs, Rates: guard.Rates(r.Opened.Rates),
	}
	for _, prefix := range r.Addrs {
		port.Addrs = append(port.Addrs, prefix.Addr())
	}
	for _, mac := range r.Opened.ExtraMACs {
		port.ExtraMACs = append(port.ExtraMACs, net.HardwareAddr(mac))
	}
	for _, vlans := range r.Trunk {
		for vid := vlans.First; vid <= vlans.Last; vid++ {
			port.Trunk = append(port.Trunk, vid)
		}
	}
	return port
}

// PortFlags returns the record's port as the bridge knows it. Where bridged frames
// pass iptables (leg.BridgeNF), what a Pod asks a Service of its own comes back to
// it by the bridge: by its port, in hairpin.
func (r Record) PortFlags(bridgeNF bool) pod.PortFlags {
	// A virtual router's MAC moves from port to port.
	flags := pod.PortFlags{Hairpin: r.Hairpin || bridgeNF && r.Service.On(), Isolated: r.Isolate, Learning: !r.Guard || r.Opened.VRRP}
	for _, mac := range r.Opened.ExtraMACs {
		flags.ExtraMACs = append(flags.ExtraMACs, net.HardwareAddr(mac))
	}
	if r.Filtering {
		flags.VLANs = &pod.VLANs{PVID: r.VLAN, Tagged: r.Trunk, KeepDefault: r.KeepDefault}
	}
	return flags
}

// removeMasquerade undoes `ipMasq`, which is the reference's own code and so
// the reference's own chains.
func removeMasquerade(rec Record) error {
	if !rec.Masq {
		return nil
	}
	if err := ip.TeardownIPMasqForNetworks(ipNets(rec.Addrs), rec.Network, rec.IfName, rec.ContainerID); err != nil {
		return fmt.Errorf("remove ipMasq: %w", err)
	}
	return nil
}

func ipNets(prefixes []netip.Prefix) []*net.IPNet {
	var nets []*net.IPNet
	for _, p := range prefixes {
		nets = append(nets, rtnl.IPNet(p))
	}
	return nets
}
