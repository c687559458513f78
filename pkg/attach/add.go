package attach

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/segment"
)

// undoTime is what an ADD takes, beyond its budget, to undo itself.
const undoTime = 10 * time.Second

// Add attaches the Pod and prints the result. An ADD that fails leaves nothing.
func (p Plugin) Add(args *skel.CmdArgs) error {
	conf, err := netconf.ParseBridge(args.StdinData, args.Args)
	if err != nil {
		return err
	}
	p.warn(conf.Warnings)
	return p.verb("ADD", conf, args, func(ctx context.Context, n *node) error {
		a := &add{node: n, args: args, key: keyOf(conf, args)}
		result, err := a.run(ctx)
		if err != nil {
			return err
		}
		converted, err := result.GetAsVersion(conf.CNIVersion)
		if err != nil {
			return fmt.Errorf("result for CNI %s: %w", conf.CNIVersion, err)
		}
		return converted.PrintTo(p.Stdout)
	})
}

// add is one ADD under way.
type add struct {
	*node
	args *skel.CmdArgs
	key  attachment.Key

	segment segment.Segment
	mac     net.HardwareAddr
	rec     attachment.Record
	ipam    *current.Result // nil for layer 2
	// gatewayLink bears the gateways' addresses (`isGateway`).
	gatewayLink string
	mtu         int  // the Pod end's, where a DHCP server told one; else 0
	asked       bool // the IPAM plugin may hold an address for us
}

func (a *add) run(ctx context.Context) (*current.Result, error) {
	inode, err := podNamespace(a.args.Netns)
	if err != nil {
		return nil, err
	}
	lock, err := a.store.Lock(ctx, a.key)
	if err != nil {
		return nil, notLocked(ctx, err)
	}
	result, err := a.locked(ctx, inode)
	if err != nil {
		lock.Retire() // an ADD that fails leaves nothing
		return nil, err
	}
	lock.Release()
	return result, nil
}

func (a *add) locked(ctx context.Context, inode uint64) (*current.Result, error) {
	if err := a.clearStale(ctx); err != nil {
		return nil, err
	}
	a.rec = attachment.Record{
		Key: a.key, State: attachment.Intent, Netns: a.args.Netns, NetnsInode: inode,
		HostEnd: attachment.HostEnd(a.key, !a.conf.Guard.Off), Guard: !a.conf.Guard.Off, Opened: a.conf.Guard,
		Hairpin: a.conf.Hairpin, Isolate: a.conf.PortIsolation, IPAM: a.conf.IPAM, Service: a.conf.Service,
	}
	result, err := a.build(ctx)
	if err != nil {
		return nil, errors.Join(err, a.undo())
	}
	return result, nil
}

// build does the design's ADD, from the segment to the result.
func (a *add) build(ctx context.Context) (*current.Result, error) {
	if err := a.makeSureOfSegment(ctx); err != nil {
		return nil, err
	}
	if err := a.createPort(ctx); err != nil {
		return nil, err
	}
	steps := []func(context.Context) error{a.lease, a.open, a.configure, a.join}
	if a.rec.Order == attachment.PortFirst {
		steps = []func(context.Context) error{a.open, a.configure, a.join, a.lease, a.configure, a.open}
	}
	for _, step := range append(steps, a.settle, a.gateway, a.masquerade, a.nodeSide, a.announce, a.podSide) {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	a.rec.State = attachment.Ready
	if err := a.record(); err != nil {
		return nil, err
	}
	return a.result()
}

// clearStale makes way where an earlier ADD of the same key died, or its Pod
// did without a DEL. A living attachment is left alone: CNI forbids the second
// ADD.
func (a *add) clearStale(ctx context.Context) error {
	old, err := a.store.Get(a.key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return types.NewError(types.ErrIOFailure, err.Error(), "")
	}
	inode, err := pod.NetnsInode(old.Netns)
	if old.State == attachment.Ready && err == nil && inode == old.NetnsInode {
		return types.NewError(types.ErrInvalidEnvironmentVariables,
			fmt.Sprintf("%s is attached already", a.key), "CNI allows no second ADD without a DEL in between")
	}
	// What it held of IPAM would be in the way, as host-local has it.
	if err := a.delegate.run(ctx, "DEL"); err != nil {
		return err
	}
	return a.teardown.Remove(ctx, old)
}

func (a *add) createPort(ctx context.Context) error {
	return pod.Create(ctx, a.links, portSpec(a.conf, a.args, a.rec, a.segment.MTU))
}

// portSpec is the port as ADD makes it and CHECK expects it.
func portSpec(conf *netconf.Bridge, args *skel.CmdArgs, rec attachment.Record, bridgeMTU int) pod.Spec {
	return pod.Spec{
		HostEnd: rec.HostEnd, Netns: args.Netns, IfName: args.IfName,
		MAC: rec.HardwareAddr(), BridgeMTU: bridgeMTU, MTU: conf.MTU, Alias: "podlan:1:" + rec.Hash(),
	}
}

// notLocked is about a lock that could not even be made.
func notLocked(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	return types.NewError(types.ErrIOFailure, err.Error(), `key "stateDir": is it writable, and is there room?`)
}

func (a *add) record() error {
	if err := a.store.Put(a.rec); err != nil {
		return types.NewError(types.ErrIOFailure, err.Error(), `key "stateDir": is there room?`)
	}
	return nil
}

// undo takes everything back, with time of its own: the budget may be over.
func (a *add) undo() error {
	ctx, cancel := context.WithTimeout(context.Background(), undoTime)
	defer cancel()
	var err error
	if a.asked {
		err = a.delegate.run(ctx, "DEL")
	}
	return errors.Join(err, a.teardown.Remove(ctx, a.rec))
}

// podNamespace makes sure that CNI_NETNS is a namespace, and not the node's.
func podNamespace(path string) (inode uint64, err error) {
	inode, err = pod.NetnsInode(path)
	if err != nil {
		return 0, types.NewError(types.ErrInvalidEnvironmentVariables, "CNI_NETNS "+path+" is refused", "allowed: the path of a network namespace; "+err.Error())
	}
	own, err := pod.NetnsInode("/proc/self/ns/net")
	if err != nil {
		return 0, err
	}
	if own == inode {
		return 0, types.NewError(types.ErrInvalidNetNS, "CNI_NETNS "+path+" is refused", "allowed: any network namespace but the node's own")
	}
	return inode, nil
}
