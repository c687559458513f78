package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
)

// The ways to guard ports that are compared.
const (
	unguarded = "no guard"
	spoofchk  = "macspoofchk"
)

// arrange guards the first n ports in one of the ways, and nothing else.
func (w *wires) arrange(ctx context.Context, way string, n int) error {
	if err := w.nft(func(c *nftables.Conn) { c.FlushRuleset() }); err != nil {
		return err
	}
	// Ours hold their MAC themselves, the reference's ports learn.
	for i := range w.ports[:n] {
		if err := w.setFlags(i, pod.PortFlags{Learning: way != podlan}); err != nil {
			return err
		}
	}
	switch way {
	case podlan:
		return w.guard.Replace(ctx, w.ports[:n])
	case spoofchk:
		return w.spoofCheck(n)
	}
	return nil
}

func (w *wires) setFlags(i int, flags pod.PortFlags) error {
	link, err := w.links.Link(w.ports[i].Name)
	if err != nil {
		return err
	}
	return w.links.SetPortFlags(link.Attrs().Index, rtnl.PortFlags{Learning: flags.Learning, Flood: flags.Learning, Locked: !flags.Learning})
}

func (w *wires) nft(change func(*nftables.Conn)) error {
	conn, err := nftables.New(nftables.WithNetNSFd(w.node.FD()))
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	change(conn)
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	return nil
}

// spoofCheck makes the rules that the reference's macspoofchk makes with nft
// (containernetworking/plugins, pkg/link/spoofcheck.go): a chain of rules, one
// for each port, which go to two chains of the port's own.
func (w *wires) spoofCheck(n int) error {
	table := &nftables.Table{Family: nftables.TableFamilyBridge, Name: "nat"}
	base := &nftables.Chain{
		Name: "PREROUTING", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(-300),
	}
	errs := []error{w.nft(func(c *nftables.Conn) {
		c.AddTable(table)
		c.AddChain(base)
	})}
	const together = 10 // in one transaction, for the socket's buffer
	for first := 0; first < n; first += together {
		errs = append(errs, w.nft(func(c *nftables.Conn) {
			for i := first; i < min(n, first+together); i++ {
				w.spoofCheckPort(c, table, base, i)
			}
		}))
	}
	return errors.Join(errs...)
}

func (w *wires) spoofCheckPort(c *nftables.Conn, table *nftables.Table, base *nftables.Chain, i int) {
	name := make([]byte, 16)
	copy(name, w.ports[i].Name)
	iface := &nftables.Chain{Name: fmt.Sprintf("cni-br-iface-%d", i), Table: table}
	mac := &nftables.Chain{Name: iface.Name + "-mac", Table: table}
	rule := func(ch *nftables.Chain, exprs ...expr.Any) {
		c.AddRule(&nftables.Rule{Table: table, Chain: ch, Exprs: exprs})
	}
	c.AddChain(iface)
	c.AddChain(mac)
	rule(base, &expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name},
		&expr.Verdict{Kind: expr.VerdictJump, Chain: iface.Name})
	rule(iface, &expr.Verdict{Kind: expr.VerdictJump, Chain: mac.Name})
	rule(mac, &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseLLHeader, Offset: 6, Len: 6},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: w.ports[i].MAC}, &expr.Verdict{Kind: expr.VerdictReturn})
	rule(mac, &expr.Verdict{Kind: expr.VerdictDrop})
}
