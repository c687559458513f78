package ipam

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/rtnl"
)

// patience is how long a port is waited for that does not forward yet. One that
// takes longer, by STP, is asked through all the same: podland repeats itself.
const patience = 2 * time.Second

// raise sets the Pod's interface up for podland to speak from it, and waits until
// frames pass or ctx is over: the first DISCOVER would be lost. Main plugins leave it down until
// they have its address, and take it away if the ADD fails.
func raise(ctx context.Context, host *rtnl.Handle, args *skel.CmdArgs, end podEnd) error {
	pod, err := rtnl.At(args.Netns)
	if err != nil {
		return err
	}
	defer pod.Close()
	link, err := pod.Link(args.IfName)
	if err != nil {
		return err
	}
	index := link.Attrs().Index
	if link.Attrs().Flags&net.FlagUp == 0 {
		if err := pod.SetUp(index); err != nil {
			return fmt.Errorf("set %s up in the Pod: %w", args.IfName, err)
		}
	}
	if err := await(ctx, pod, index, func() (bool, error) { return carries(pod, index) }); err != nil {
		return err
	}
	if end.kind != "veth" || end.other == 0 {
		return nil
	}
	return await(ctx, host, end.other, func() (bool, error) { return forwards(host, end.other) })
}

// await returns when done says so, or ctx is over.
func await(ctx context.Context, h *rtnl.Handle, index int, done func() (bool, error)) error {
	events, err := h.Watch(index)
	if err != nil {
		return err
	}
	defer events.Close()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if err := events.Wait(ctx); ctx.Err() != nil {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func carries(h *rtnl.Handle, index int) (bool, error) {
	link, err := h.LinkByIndex(index)
	if err != nil {
		return false, err
	}
	state := link.Attrs().OperState
	return state == netlink.OperUp || state == netlink.OperUnknown, nil
}

// forwards is true of a link that is no port: nothing holds its frames up.
func forwards(h *rtnl.Handle, index int) (bool, error) {
	state, err := h.PortState(index)
	if errors.Is(err, rtnl.ErrNoPort) {
		return true, nil
	}
	return state == rtnl.PortForwarding, err
}
