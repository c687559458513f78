package leg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
)

// forward is the rule of iptables' FORWARD that lets pass, for each bridge of
// ours, what is merely bridged: where br_netfilter shows it bridged frames, what
// others (Docker, libvirt, a firewall) drop by its policy they would drop of
// Pods too. It stands first, so that nobody's thousand rules are asked before.
type forward struct {
	h       *rtnl.Handle
	lockDir string
}

func (f forward) add(_ context.Context, l Leg, _ []Leg) error {
	return f.each(func(c chain, passes bool) error { return c.settle(l.Bridge, passes) })
}

func (f forward) remove(_ context.Context, l Leg, others []Leg) error {
	if slices.Contains(bridges(others), l.Bridge) {
		return nil
	}
	return f.each(func(c chain, _ bool) error { return c.settle(l.Bridge, false) })
}

// intact: sysctls give no event, so whoever wants to follow them looks again.
func (f forward) intact(_ context.Context, legs []Leg) (bool, error) {
	intact := true
	err := f.each(func(c chain, passes bool) error {
		settled, err := c.settled(passes, bridges(legs)...)
		intact = intact && settled
		return err
	})
	return intact && err == nil, err
}

func (f forward) restore(ctx context.Context, legs []Leg) error {
	var err error
	for _, bridge := range bridges(legs) {
		err = errors.Join(err, f.add(ctx, Leg{Bridge: bridge}, nil))
	}
	return err
}

func bridges(legs []Leg) []string {
	var all []string
	for _, l := range legs {
		all = append(all, l.Bridge)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// each calls fn with every FORWARD chain that the namespace has, and whether
// bridged frames pass it. Where iptables has none, nothing of it can drop, and
// to make one would be a change that stays.
func (f forward) each(fn func(c chain, passes bool) error) error {
	var conn *netlink.Conn
	err := f.h.Do(func() (err error) {
		conn, err = netlink.Dial(unix.NETLINK_NETFILTER, nil)
		return err
	})
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	defer func() { _ = conn.Close() }()
	var failed error
	for _, fam := range families() {
		passes, err := passes(f.h, fam)
		if err != nil {
			return err
		}
		chains, err := f.chains(conn, fam)
		if err != nil {
			return err
		}
		for _, c := range chains {
			failed = errors.Join(failed, fn(c, passes))
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
