package main

import (
	"context"
	"fmt"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/dhcpd"
	"github.com/podlan/podlan/integration/lab"
)

// remove is the step that deletes the Pods.
func (d *demo) remove(ctx context.Context) error {
	full, err := d.takeInventory()
	if err != nil {
		return err
	}
	for _, p := range d.pods {
		if err := d.removePod(ctx, p); err != nil {
			return fmt.Errorf("delete Pod %s: %w", p.full, err)
		}
	}
	d.lab.Server().AwaitLeases(0)
	if err := d.showReleases(); err != nil {
		return err
	}
	return d.showLeft(ctx, full)
}

// removePod ends the Pod as a runtime does: its processes, DEL, its namespace.
func (d *demo) removePod(ctx context.Context, p *pod) error {
	p.service.stop()
	started := time.Now()
	if err := d.node.Del(ctx, d.conf, p.Pod, attachment(p.short)); err != nil {
		return err
	}
	d.out.saw("%-11s DEL took %s", p.full, ms(time.Since(started)))
	return p.Close()
}

// showReleases prints what the server wrote down of the goodbyes.
func (d *demo) showReleases() error {
	released := map[string]dhcpd.Entry{}
	for _, e := range d.lab.Server().Embedded().Received(dhcpv4.MessageTypeRelease) {
		if e.Known {
			released[e.CIAddr.String()] = e
		}
	}
	var rows [][]string
	for _, p := range d.pods {
		e, ok := released[p.addr.Addr().String()]
		if !ok {
			return fmt.Errorf("the server got no DHCPRELEASE for %s of %s", p.addr.Addr(), p.full)
		}
		rows = append(rows, []string{
			e.At.Format("15:04:05.000"), "DHCP" + e.Type.String(), e.CIAddr.String(), e.MAC.String(), e.SrcIP.String(), p.full,
		})
	}
	d.out.saw("the DHCP server's log: every lease was given back, none is active")
	d.out.table([]string{"AT", "MESSAGE", "LEASE", "MAC", "SENT FROM", "POD"}, rows...)
	return nil
}

// showLeft compares the node with what it was before its first Pod.
func (d *demo) showLeft(ctx context.Context, full inventory) error {
	var now inventory
	err := lab.Until(ctx, func() (err error) {
		if now, err = d.takeInventory(); err != nil {
			return err
		}
		return now.clean(d.bare)
	})
	if err != nil {
		return err
	}
	leases, err := d.leases(ctx)
	if err != nil {
		return err
	}
	if len(leases) > 0 {
		return fmt.Errorf("podland still holds %v", leases)
	}
	var rows [][]string
	for _, kind := range now.kinds {
		rows = append(rows, []string{kind, count(full, d.bare, kind), count(now, d.bare, kind)})
	}
	d.out.table([]string{"ON THE NODE, OF THE PODS", "BEFORE", "NOW"}, rows...)
	d.out.saw("the node is as it was")
	return nil
}

func count(inv, bare inventory, kind string) string {
	return fmt.Sprint(len(inv.beyond(bare, kind)))
}
