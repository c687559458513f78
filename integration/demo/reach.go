package main

import (
	"context"
	"net/netip"

	"github.com/podlan/podlan/integration/lab"
)

// reach is the step that shows the ways within the node.
func (d *demo) reach(ctx context.Context) error {
	node := d.node.Addr.Addr()
	if _, err := d.services.serve(ctx, d.node.Netns, node, introduce("node n1")); err != nil {
		return err
	}
	orders, stock, mail := d.pods[0], d.pods[1], d.pods[2]
	ways := []struct {
		name string
		from *lab.Netns
		to   netip.Addr
	}{
		{orders.full, orders.Netns, stock.addr.Addr()},
		{stock.full, stock.Netns, mail.addr.Addr()},
		{"node n1", d.node.Netns, orders.addr.Addr()},
		{mail.full, mail.Netns, node},
		{"DHCP server", d.lab.Server().Host.Netns, stock.addr.Addr()},
	}
	var rows [][]string
	for _, w := range ways {
		a, r, err := visit(ctx, w.from, netip.AddrPortFrom(w.to, port))
		if err != nil {
			return err
		}
		rows = append(rows, []string{w.name, a.Name, a.Saw.From.Addr().String(), ms(r.took)})
	}
	d.out.does("each makes a connection and an HTTP request; the one that is called says from whom")
	d.out.table([]string{"CALLER", "CALLED", "SEEN AS", "TOOK"}, rows...)
	d.out.saw("each was seen with its own address")
	return nil
}
