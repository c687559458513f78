package attach

import (
	"context"
	"time"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/boottime"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/segment"
)

// decideOrder chooses lease-first or port-first, by topology alone.
func (a *add) decideOrder() error {
	a.rec.Order = attachment.PortFirst
	switch a.conf.IPAM {
	case "", "host-local", "static":
		a.rec.Order = attachment.LeaseFirst
		return nil
	case netconf.TypeDHCP:
	default:
		// It may speak DHCP from the Pod, as the reference dhcp does.
		a.rec.DHCP = true
		return nil
	}
	uplink, err := a.dhcpUplink()
	if err != nil {
		return err
	}
	if uplink == "" {
		a.rec.DHCP = true
		return nil
	}
	a.rec.Order, a.rec.Uplink = attachment.LeaseFirst, uplink
	return nil
}

// dhcpUplink returns the uplink to speak DHCP from; "" means from the Pod.
func (a *add) dhcpUplink() (string, error) {
	if a.conf.DHCPFrom == netconf.FromPod {
		return "", nil
	}
	uplink, err := segment.FindUplink(a.links, a.rec.Bridge, a.rec.Uplink)
	if err != nil || uplink != "" || a.conf.DHCPFrom == netconf.FromAuto {
		return uplink, err
	}
	return "", netconf.NoUplink(a.rec.Bridge)
}

// handover is what podlan-dhcp is told of the port.
func (a *add) handover(ctx context.Context) (netconf.Handover, error) {
	from := netconf.FromPod
	if a.rec.Order == attachment.LeaseFirst {
		from = netconf.FromUplink
	}
	deadline, _ := ctx.Deadline()
	port := netconf.Handover{
		MAC: a.mac.String(), Bridge: a.rec.Bridge, Uplink: a.rec.Uplink, VLAN: a.rec.PVID(), From: from,
		BudgetMS: netconf.LeaseShareMS(time.Until(deadline)), Deadline: boottime.Now() + time.Until(deadline),
	}
	if a.conf.IPAM != netconf.TypeDHCP {
		return port, nil
	}
	var err error
	if port.VLAN != 0 && from == netconf.FromUplink {
		if port.Untagged, err = segment.Untagged(a.links, port.Uplink, port.VLAN); err != nil {
			return port, err
		}
	}
	port.Networks, err = a.links.Networks()
	return port, err
}
