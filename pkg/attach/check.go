package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/pod"
)

// Check compares the attachment with what ADD left: its record, the way to the
// LAN, the port, the guard, the Pod end. It changes nothing.
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
	case rec.Closed != "":
		// Before the port is found to be down, which would not tell why.
		return types.NewError(uint(leaseapi.CodeLeaseLost), "the address is no longer leased, and podland has closed the port", rec.Closed)
	}
	if err := n.delegate.run(ctx, "CHECK"); err != nil {
		return err
	}
	return n.verify(ctx, rec, args, prev)
}

func (n *node) verify(ctx context.Context, rec attachment.Record, args *skel.CmdArgs, prev *current.Result) error {
	if !n.conf.Guard.Off {
		if err := n.guard.Check(ctx, rec.GuardPort()); err != nil {
			return err
		}
	}
	bridge, err := n.links.Link(rec.Bridge)
	if err != nil {
		return changed("the bridge is gone", err.Error())
	}
	if err := n.verifySegment(rec, bridge); err != nil {
		return err
	}
	spec := portSpec(n.conf, args, rec, bridge.Attrs().MTU)
	spec.MTU = n.expectedMTU(rec, args, prev, spec.BridgeMTU)
	ip := ipConfig(n.conf, prev)
	if replaced(rec, ip) {
		ip, spec.MTU = ofRecord(rec, ip), 0
	}
	bridged, err := leg.BridgeNF(n.links)
	if err != nil {
		return err
	}
	err = pod.Verify(ctx, n.links, pod.Expected{
		Spec:   spec,
		IP:     ip,
		Flags:  rec.PortFlags(bridged),
		Bridge: rec.Bridge,
		Down:   n.conf.NoPodEnd,
	})
	if err != nil {
		return err
	}
	return n.verifyLeg(ctx, rec)
}

// expectedMTU is the Pod end's as ADD left it; 0 for any, where it is the
// bridge's, or may be a DHCP server's that a result before CNI 1.1 cannot tell.
func (n *node) expectedMTU(rec attachment.Record, args *skel.CmdArgs, prev *current.Result, bridgeMTU int) int {
	told := podEndMTU(prev, args.IfName)
	tells, _ := version.GreaterThanOrEqualTo(n.conf.CNIVersion, "1.1.0")
	switch {
	case told != 0 && told < bridgeMTU:
		return told
	case !tells && rec.Lease != nil && !slices.Contains(rec.Lease.Ignore, leaseapi.PartMTU):
		return 0
	}
	return n.conf.MTU
}

// replaced tells whether podland has given the Pod another address since ADD.
func replaced(rec attachment.Record, ip pod.IPConfig) bool {
	return rec.Lease != nil && rec.Lease.WhenLost == leaseapi.Replace &&
		slices.ContainsFunc(ip.Addrs, func(a pod.Addr) bool { return !slices.Contains(rec.Addrs, a.Prefix) })
}

// ofRecord is what is known of a Pod end whose address has been replaced: its
// routes went with the old one.
func ofRecord(rec attachment.Record, ip pod.IPConfig) pod.IPConfig {
	ip.Addrs, ip.Routes = nil, nil
	for _, p := range rec.Addrs {
		ip.Addrs = append(ip.Addrs, pod.Addr{Prefix: p})
	}
	return ip
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
