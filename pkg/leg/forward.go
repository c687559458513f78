package leg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/podlan/podlan/pkg/rtnl"
)

// forward is what iptables' FORWARD accepts of ours, where others (Docker,
// libvirt, a firewall) drop: what is merely bridged, where br_netfilter shows it
// bridged frames, and what the node has redirected for or to Pods, where the
// policy is to drop.
type forward struct {
	h       *rtnl.Handle
	lockDir string
}

func (f forward) add(_ context.Context, l Leg, _ Legs) error { return f.settle(acceptances(l)) }

func (f forward) remove(_ context.Context, l Leg, others []Leg) error {
	needed := acceptances(others...)
	left := slices.DeleteFunc(acceptances(l), func(a acceptance) bool {
		return slices.ContainsFunc(needed, func(n acceptance) bool { return n.note == a.note })
	})
	return f.each(func(c *chain) error {
		c.leaves = true
		return c.settle(left)
	})
}

// intact: sysctls give no event, so whoever wants to follow them looks again. What
// cannot be otherwise here is a *Shortfall, and no reason to leave the rest as it is.
func (f forward) intact(_ context.Context, legs []Leg) (bool, error) {
	intact := true
	err := f.each(func(c *chain) error {
		left, err := c.unsettled(acceptances(legs...))
		intact = intact && (len(left) == 0 || mere(err))
		return err
	})
	return intact, err
}

func (f forward) restore(_ context.Context, legs []Leg) error {
	return f.settle(acceptances(legs...))
}

func (f forward) settle(all []acceptance) error {
	return f.each(func(c *chain) error { return c.settle(all) })
}

// each calls fn with every FORWARD chain that the namespace has. Where iptables
// has none, nothing of it can drop, and to make one would be a change that stays.
func (f forward) each(fn func(*chain) error) error {
	t, err := open(f.h)
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	defer t.close()
	var failed error
	for _, fam := range families() {
		chains, err := f.chains(t.conn, fam)
		if err != nil {
			return errors.Join(failed, err)
		}
		for _, c := range chains {
			failed = errors.Join(failed, fn(&c))
		}
	}
	return failed
}

// BridgeNF tells whether bridged frames of IPv4 pass iptables in the handle's
// namespace: net.bridge.bridge-nf-call-iptables; absent is false. Then a Pod's
// port needs hairpin: what the Pod asks a Service of its own goes back to it by
// the bridge, not by the node's routing.
func BridgeNF(h *rtnl.Handle) (bool, error) { return passes(h, families()[0]) }

func passes(h *rtnl.Handle, fam family) (bool, error) {
	value, err := h.ReadSysctl("net/bridge/" + fam.sysctl)
	return strings.Trim(value, "0") != "", err
}
