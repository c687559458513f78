package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/pod"
)

// Check compares the attachment with what ADD left: its record, the port, the
// guard, the Pod end. It changes nothing.
func (p Plugin) Check(args *skel.CmdArgs) error {
	conf, err := netconf.ParseBridge(args.StdinData, args.Args)
	if err != nil {
		return err
	}
	prev, err := prevResult(args.StdinData)
	if err != nil {
		return err
	}
	return p.verb("CHECK", conf, args, func(ctx context.Context, n *node) error {
		return n.check(ctx, args, prev)
	})
}

func (n *node) check(ctx context.Context, args *skel.CmdArgs, prev *current.Result) error {
	key := keyOf(n.conf, args)
	rec, err := n.store.Get(key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return changed("there is no such attachment", key.String())
	case err != nil:
		return types.NewError(types.ErrIOFailure, err.Error(), "")
	case rec.State != attachment.Ready:
		return changed("its ADD has not finished", key.String())
	}
	if err := n.delegate.run(ctx, "CHECK"); err != nil {
		return err
	}
	return n.verify(ctx, rec, args, prev)
}

func (n *node) verify(ctx context.Context, rec attachment.Record, args *skel.CmdArgs, prev *current.Result) error {
	if n.conf.Guard {
		if err := n.guard.Check(ctx, rec.GuardPort()); err != nil {
			return err
		}
	}
	bridge, err := n.links.Link(rec.Bridge)
	if err != nil {
		return changed("the bridge is gone", err.Error())
	}
	return pod.Verify(ctx, n.links, pod.Expected{
		Spec:   portSpec(n.conf, args, rec.Key, rec.HardwareAddr(), bridge.Attrs().MTU),
		IP:     ipConfig(n.conf, prev),
		Flags:  portFlags(n.conf),
		Bridge: rec.Bridge,
		Down:   n.conf.NoPodEnd,
	})
}

func changed(msg, details string) error {
	return types.NewError(uint(leaseapi.CodeChanged), msg, details)
}

func prevResult(stdin []byte) (*current.Result, error) {
	var conf types.PluginConf
	if err := json.Unmarshal(stdin, &conf); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "prevResult", err.Error())
	}
	if err := version.ParsePrevResult(&conf); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "prevResult", err.Error())
	}
	if conf.PrevResult == nil {
		return nil, types.NewError(types.ErrInvalidNetworkConfig, `key "prevResult" is missing`, "CHECK needs the result of ADD")
	}
	prev, err := current.NewResultFromResult(conf.PrevResult)
	if err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "prevResult", fmt.Sprint(err))
	}
	return prev, nil
}
