// Package attach is podlan-bridge: CNI's verbs, their order, what is undone on
// failure, and the result. It changes the node only through segment, pod, guard,
// leg and attachment, and runs nothing but the IPAM plugin that the conf names.
package attach

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/guard"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
)

// Plugin holds what the verbs write to and where they come from.
type Plugin struct {
	// Stdout gets the result, Stderr the warnings.
	Stdout, Stderr io.Writer
	// Environ is the process's environment, for the IPAM plugin.
	Environ []string
}

// Funcs returns the verbs for skel.
func (p Plugin) Funcs() skel.CNIFuncs {
	return skel.CNIFuncs{Add: p.Add, Del: p.Del, Check: p.Check, GC: p.GC, Status: p.Status}
}

// node is what every verb works with: the node's namespace and state.
type node struct {
	conf     *netconf.Bridge
	links    *rtnl.Handle
	guard    *guard.Guard
	legs     *leg.Node
	store    *attachment.Store
	teardown attachment.Teardown
	delegate delegate
	warn     func([]string)
}

func (p Plugin) node(conf *netconf.Bridge, args *skel.CmdArgs) (*node, error) {
	links, err := rtnl.Here()
	if err != nil {
		return nil, err
	}
	store, err := attachment.OpenStore(conf.StateDir)
	if err != nil {
		links.Close()
		return nil, types.NewError(types.ErrIOFailure, err.Error(), `key "stateDir": is it writable?`)
	}
	n := &node{
		conf:     conf,
		links:    links,
		guard:    guard.New(links, attachment.LockDir(conf.StateDir)),
		legs:     leg.NewNode(links, attachment.LockDir(conf.StateDir)),
		store:    store,
		delegate: newDelegate(conf, args, p.Environ, p.Stderr),
		warn:     p.warn,
	}
	n.teardown = attachment.Teardown{Links: links, Guard: n.guard, Legs: n.legs, Store: store}
	return n, nil
}

func (n *node) close() { n.links.Close() }

// verb does one verb's work on the node, within the budget.
func (p Plugin) verb(name string, conf *netconf.Bridge, args *skel.CmdArgs, work func(context.Context, *node) error) error {
	n, err := p.node(conf, args)
	if err != nil {
		return err
	}
	defer n.close()
	ctx, cancel := context.WithTimeout(context.Background(), conf.Budget)
	defer cancel()
	return cniError(inBudget(ctx, conf, name, work(ctx, n)))
}

func (p Plugin) warn(warnings []string) {
	for _, w := range warnings {
		fmt.Fprintf(p.Stderr, "podlan-bridge: %s\n", w)
	}
}

func keyOf(conf *netconf.Bridge, args *skel.CmdArgs) attachment.Key {
	return attachment.Key{Network: conf.Name, ContainerID: args.ContainerID, IfName: args.IfName}
}

// inBudget makes of "the budget is over" an error that a runtime retries.
func inBudget(ctx context.Context, conf *netconf.Bridge, doing string, err error) error {
	var cniErr *types.Error
	if err == nil || errors.As(err, &cniErr) || ctx.Err() == nil {
		return err
	}
	return types.NewError(types.ErrTryAgainLater,
		fmt.Sprintf("%s: not done within the budget of %s", doing, conf.Budget),
		fmt.Sprintf("%v; the key `budget` allows more", err))
}

// cniError gives errors that carry a code of ours the form that skel prints.
func cniError(err error) error {
	if ours, ok := errors.AsType[*leaseapi.Error](err); ok {
		return types.NewError(uint(ours.Code), ours.Msg, ours.Details)
	}
	return err
}
