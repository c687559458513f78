package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// some is how many requests of the traffic show that it goes on.
const some = 50

// restart is the step in which podland dies without a warning.
func (d *demo) restart(ctx context.Context) error {
	before, err := d.leases(ctx)
	if err != nil {
		return err
	}
	target := d.pods[0].addr.Addr()
	watch := d.startWitness()
	flow := startTraffic(ctx, d.client.Netns, netip.AddrPortFrom(target, port))
	defer flow.cancel()
	d.out.does("the client calls %s without a pause; every frame on the node's cable is looked at", d.pods[0].full)
	if err := d.killAndStart(ctx, flow, before); err != nil {
		return err
	}
	if err := flow.end(); err != nil {
		return err
	}
	d.out.saw("traffic went on: %d requests, none failed, the slowest took %s", flow.answered.Load(), ms(flow.slowest))
	frames, err := watch.testify(ctx, target)
	if err != nil {
		return err
	}
	d.out.saw("%d frames passed the node's cable meanwhile, 0 of them DHCP", frames)
	return nil
}

func (d *demo) killAndStart(ctx context.Context, flow *traffic, before []leaseapi.Lease) error {
	if _, err := flow.more(ctx, some); err != nil {
		return err
	}
	pid := d.node.Podland().PID()
	d.node.KillPodland()
	d.out.does("kill -9 %d: podland is gone", pid)
	n, err := flow.more(ctx, some)
	if err != nil {
		return err
	}
	d.out.saw("without podland the Pod answered %d more requests", n)
	if err := d.startPodland(); err != nil {
		return err
	}
	started := time.Now()
	if err := d.awaitSame(ctx, before); err != nil {
		return err
	}
	d.out.saw("it knows all leases again, %s later:", ms(time.Since(started)))
	d.showSame(before)
	_, err = flow.more(ctx, some)
	return err
}

// awaitSame waits until podland holds what it held.
func (d *demo) awaitSame(ctx context.Context, before []leaseapi.Lease) error {
	return lab.Until(ctx, func() error {
		now, err := d.leases(ctx)
		if err != nil {
			return err
		}
		if len(now) != len(before) {
			return fmt.Errorf("podland held %d leases and holds %d", len(before), len(now))
		}
		for i := range now {
			if !same(before[i], now[i]) {
				return fmt.Errorf("podland held %+v and holds %+v", before[i], now[i])
			}
		}
		return nil
	})
}

// same compares what must outlive podland. Its clock is the boot-time one, so
// that the wall-clock times may differ by a little.
func same(a, b leaseapi.Lease) bool {
	near := func(a, b time.Time) bool { return a.Sub(b).Abs() < time.Second }
	return a.Key == b.Key && a.State == b.State && a.MAC == b.MAC && a.Address == b.Address && a.Pod == b.Pod &&
		near(a.RenewAt, b.RenewAt) && near(a.ExpiresAt, b.ExpiresAt)
}

func (d *demo) showSame(leases []leaseapi.Lease) {
	var rows [][]string
	for _, l := range leases {
		rows = append(rows, []string{
			l.Pod, l.Address.String(), l.MAC, string(l.State),
			l.RenewAt.Format(time.TimeOnly), l.ExpiresAt.Format(time.TimeOnly),
		})
	}
	d.out.table([]string{"POD", "ADDRESS", "MAC", "STATE", "RENEW AT", "EXPIRES AT"}, rows...)
}
