package ipam

import (
	"context"
	"time"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/podlan/podlan/pkg/boottime"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/netconf"
)

// request puts together what podland is asked for.
func request(ctx context.Context, conf *netconf.DHCP, args *skel.CmdArgs) (leaseapi.Request, error) {
	port := conf.Handover
	if port == nil {
		var err error
		if port, err = find(ctx, conf, args); err != nil {
			return leaseapi.Request{}, err
		}
	}
	deadline, _ := ctx.Deadline()
	switch {
	case port.Deadline != 0:
		port.BudgetMS = netconf.LeaseShareMS(port.Deadline - boottime.Now())
	case port.BudgetMS == 0:
		port.BudgetMS = netconf.LeaseShareMS(time.Until(deadline))
	}
	of := netconf.Interface{ContainerID: args.ContainerID, IfName: args.IfName, Netns: args.Netns}
	return conf.LeaseRequest(of, *port), nil
}
