// Package ipam is podlan-dhcp: CNI's verbs for an address that podland leases
// from the site's DHCP server. It asks podland, leaves a tombstone where a DEL
// finds podland down, sets another main plugin's interface up where podland is to
// speak from it, and changes nothing else on the node.
package ipam

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leaseapi/client"
	"github.com/podlan/podlan/pkg/netconf"
)

// callTimeout bounds every call but Acquire: podland answers them from memory,
// or after one write to disk.
const callTimeout = 10 * time.Second

// Plugin holds what the verbs write to.
type Plugin struct {
	// Stdout gets the result, Stderr the warnings.
	Stdout, Stderr io.Writer
}

// Funcs returns the verbs for skel.
func (p Plugin) Funcs() skel.CNIFuncs {
	return skel.CNIFuncs{Add: p.Add, Del: p.Del, Check: p.Check, GC: p.GC, Status: p.Status}
}

// Add leases an address and prints it as a CNI result.
func (p Plugin) Add(args *skel.CmdArgs) error {
	conf, err := netconf.ParseDHCP(args.StdinData, args.Args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), conf.Budget)
	defer cancel()
	req, err := request(ctx, conf, args)
	if err != nil {
		return err
	}
	lease, err := client.New(conf.Socket).Acquire(ctx, keyOf(conf, args), req)
	if err != nil {
		return addError(conf, err)
	}
	result, err := Result(lease, conf.Priority)
	if err != nil {
		return err
	}
	p.tellRefused(lease)
	if conf.Handover != nil {
		addMTU(result, lease, args)
	}
	converted, err := result.GetAsVersion(conf.CNIVersion)
	if err != nil {
		return fmt.Errorf("result for CNI %s: %w", conf.CNIVersion, err)
	}
	return converted.PrintTo(p.Stdout)
}

// Check fails if podland holds no lease for the attachment, has lost it, or
// holds another address than the one that the result gave and was not told to
// replace it.
func (p Plugin) Check(args *skel.CmdArgs) error {
	conf, err := netconf.ParseDHCP(args.StdinData, args.Args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	lease, err := client.New(conf.Socket).Get(ctx, keyOf(conf, args))
	if err != nil {
		return callError(conf, err)
	}
	if lease.State == leaseapi.StateLost || !lease.Address.IsValid() {
		return types.NewError(uint(leaseapi.CodeLeaseLost), "the address is no longer leased", lease.Reason)
	}
	err = sameAddress(args.StdinData, lease)
	differs, ok := errors.AsType[*types.Error](err)
	if ok && differs.Code == uint(leaseapi.CodeChanged) && lease.WhenLost == leaseapi.Replace {
		fmt.Fprintf(p.Stderr, "podlan-dhcp: %v; podland has replaced it (whenLost: replace)\n", err)
		return nil
	}
	return err
}

// Del gives the lease back. With podland down it leaves a tombstone, which
// podland settles when it starts: a DEL must not fail for what is down.
func (p Plugin) Del(args *skel.CmdArgs) error {
	conf, err := netconf.ParseDHCP(args.StdinData, args.Args)
	if conf == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	key := keyOf(conf, args)
	if err := client.New(conf.Socket).Release(ctx, key); err != nil {
		fmt.Fprintf(p.Stderr, "podlan-dhcp: %v; left for podland to give back\n", err)
		return buryForPodland(conf, key)
	}
	return nil
}

// GC gives back every lease of the network whose attachment is not listed.
func (p Plugin) GC(args *skel.CmdArgs) error {
	conf, err := netconf.ParseDHCP(args.StdinData, args.Args)
	if err != nil {
		return err
	}
	valid, err := netconf.ValidAttachments(args.StdinData)
	if err != nil {
		return err
	}
	req := leaseapi.GCRequest{Network: conf.Name, Valid: []leaseapi.Key{}}
	for _, v := range valid {
		req.Valid = append(req.Valid, leaseapi.Key{Network: conf.Name, ContainerID: v.ContainerID, IfName: v.IfName})
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	return callError(conf, client.New(conf.Socket).GC(ctx, req))
}

// Status fails with code 50 if podland is not there: no ADD can succeed then.
func (p Plugin) Status(args *skel.CmdArgs) error {
	conf, err := netconf.ParseDHCP(args.StdinData, args.Args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if _, err := client.New(conf.Socket).Status(ctx); err != nil {
		return types.NewError(uint(leaseapi.CodeNotAvailable), err.Error(), startPodland)
	}
	return nil
}

func keyOf(conf *netconf.DHCP, args *skel.CmdArgs) leaseapi.Key {
	return leaseapi.Key{Network: conf.Name, ContainerID: args.ContainerID, IfName: args.IfName}
}

const startPodland = "is podland running? `systemctl status podland`"

// addError makes of a failed Acquire what a runtime is to see.
func addError(conf *netconf.DHCP, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return types.NewError(types.ErrTryAgainLater, fmt.Sprintf("podland did not answer within the budget of %s", conf.Budget), startPodland)
	}
	return callError(conf, err)
}

func callError(conf *netconf.DHCP, err error) error {
	var answered *leaseapi.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &answered):
		return types.NewError(uint(answered.Code), answered.Msg, answered.Details)
	case errors.Is(err, client.ErrUnreachable):
		return types.NewError(types.ErrTryAgainLater, "podland is not running on this node (socket "+conf.Socket+")", err.Error()+"; "+startPodland)
	}
	return types.NewError(types.ErrTryAgainLater, err.Error(), startPodland)
}
