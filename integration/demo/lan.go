package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/podlan/podlan/integration/lab"
)

// bridge is the administrator's on the node, as conf/10-podlan.conflist names
// it.
const bridge = "lan0"

// raise is the step that builds the LAN and starts podland on its node.
func (d *demo) raise(ctx context.Context) error {
	d.registry, d.client = d.lab.Host("registry"), d.lab.Host("client")
	d.node = d.lab.Node("n1", lab.NodeOptions{Bridge: bridge})
	d.out.block(d.picture())
	if err := d.client.Ping(ctx, d.node.Addr.Addr()); err != nil {
		return err
	}
	d.out.saw("the client pings the node: the LAN works, as it did before Podlan")
	if err := d.startPodland(); err != nil {
		return err
	}
	var err error
	d.bare, err = d.takeInventory()
	return err
}

// picture draws the LAN, 76 columns wide.
func (d *demo) picture() string {
	line := func(format string, args ...any) string {
		return strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n"
	}
	var b strings.Builder
	b.WriteString(line("LAN %s", d.lab.Subnet()))
	b.WriteString("━━━━━━━┯━━━━━━━━━━━━━━━┯━━━━━━━━━━━━━━┯━━━━━━━━━━━━━━┯━━━━━━━━━━━━━━━━━━━━━\n")
	b.WriteString("       │               │              │              │\n")
	b.WriteString(line("  %-14s  %-13s  %-13s ┌──┴─ eth1 ──── node n1 ─┐", "DHCP server", "registry", "client"))
	b.WriteString(line("  %-14s  %-13s  %-13s │  │                     │", d.lab.Server().Host.Addr.Addr(), d.registry.Addr.Addr(), d.client.Addr.Addr()))
	b.WriteString(line("  %-14s  %-13s  %-13s │ lan0 %-18s│", "the site's", "as Nacos is", "of anybody", d.node.Addr.Addr()))
	b.WriteString(line("  %-14s  %-13s  %-13s │  ├─ Pod orders         │", "", "", ""))
	b.WriteString(line("  %-14s  %-13s  %-13s │  ├─ Pod stock  podland │", "", "", ""))
	b.WriteString(line("  %-14s  %-13s  %-13s │  └─ Pod mail           │", "", "", ""))
	b.WriteString(line("  %-14s  %-13s  %-13s └────────────────────────┘", "", "", ""))
	return b.String()
}
