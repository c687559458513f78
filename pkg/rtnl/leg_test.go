package rtnl_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

func TestANeighbourIsBoundForGoodUntilItIsForgotten(t *testing.T) {
	n := rtnltest.New(t)
	link := n.Bridge(t, "lan0")
	for _, addr := range []netip.Addr{netip.MustParseAddr("169.254.1.1"), netip.MustParseAddr("fe80::1")} {
		for _, mac := range []net.HardwareAddr{{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}} {
			must(t, n.SetNeighbour(link, addr, mac))
			bound, err := n.Neighbours(link)
			must(t, err)
			if bound[addr].String() != mac.String() {
				t.Errorf("%s is %s, want %s", addr, bound[addr], mac)
			}
		}
		must(t, n.DelNeighbour(link, addr))
		must(t, n.DelNeighbour(link, addr))
		if bound, err := n.Neighbours(link); err != nil || bound[addr] != nil {
			t.Errorf("%s is %s, %v; want none", addr, bound[addr], err)
		}
	}
	if err := n.SetNeighbour(999, netip.MustParseAddr("192.0.2.1"), net.HardwareAddr{2, 0, 0, 0, 0, 1}); !errors.Is(err, rtnl.ErrNotFound) {
		t.Errorf("on no link: %v, want ErrNotFound", err)
	}
	must(t, n.DelNeighbour(999, netip.MustParseAddr("192.0.2.1")))
}

func TestARuleForAMarkIsAddedOnceAndTakenOnce(t *testing.T) {
	n := rtnltest.New(t)
	rule := rtnl.MarkRule{Mark: 0x40000000, Table: 1684, Priority: 1684}
	has := func(want bool) {
		t.Helper()
		if got, err := n.HasMarkRule(rule); err != nil || got != want {
			t.Errorf("stands: %t, %v; want %t", got, err, want)
		}
	}
	has(false)
	must(t, n.AddMarkRule(rule))
	must(t, n.AddMarkRule(rule))
	has(true)
	must(t, n.DelMarkRule(rule))
	has(false)
	must(t, n.DelMarkRule(rule))
}

func TestAHostRouteIsToldFromAWiderOne(t *testing.T) {
	n := rtnltest.New(t)
	link := n.Bridge(t, "lan0")
	host := netip.MustParseAddr("198.18.1.5")
	found := func(want bool) {
		t.Helper()
		if r, ok, err := n.HostRoute(host); err != nil || ok != want || ok && r.Protocol != 168 {
			t.Errorf("found %t (%v), %v; want %t", ok, r, err, want)
		}
	}
	found(false)
	n.Address(t, "lan0", "198.18.0.1/16")
	found(false)
	must(t, n.ReplaceRoute(&netlink.Route{LinkIndex: link, Dst: rtnl.IPNet(netip.PrefixFrom(host, 32)), Scope: netlink.SCOPE_LINK, Protocol: 168}))
	found(true)
	ours, err := n.RoutesOf(168)
	if err != nil || len(ours) != 1 || ours[0].Dst.String() != "198.18.1.5/32" {
		t.Errorf("of that origin: %v, %v", ours, err)
	}
}

func TestTheSourceToADestinationIsTheKernelsChoice(t *testing.T) {
	n := rtnltest.New(t)
	link := n.Bridge(t, "lan0")
	out := netip.MustParseAddr("203.0.113.1")
	refused := func() {
		t.Helper()
		if addr, err := n.SourceTo(out); !errors.Is(err, rtnl.ErrNoRoute) {
			t.Errorf("got %s, %v; want ErrNoRoute", addr, err)
		}
	}
	refused()
	n.Address(t, "lan0", "198.18.0.7/16")
	must(t, n.AppendRoute(&netlink.Route{LinkIndex: link, Gw: net.ParseIP("198.18.0.1")}))
	if got, err := n.SourceTo(out); err != nil || got.String() != "198.18.0.7" {
		t.Errorf("got %s, %v", got, err)
	}
	must(t, n.AddRoute(&netlink.Route{Dst: rtnl.IPNet(netip.MustParsePrefix("203.0.113.0/24")), Type: 7})) // RTN_UNREACHABLE
	refused()
}

func TestAnAppendedRouteStandsBehind(t *testing.T) {
	n := rtnltest.New(t)
	link := n.Bridge(t, "lan0")
	n.Address(t, "lan0", "198.18.0.7/16")
	for _, gw := range []string{"198.18.0.1", "198.18.0.2", "198.18.0.2"} {
		must(t, n.AppendRoute(&netlink.Route{LinkIndex: link, Dst: rtnl.IPNet(netip.MustParsePrefix("10.96.0.0/12")), Gw: net.ParseIP(gw)}))
	}
	routes, err := n.RoutesIn(254)
	must(t, err)
	var gateways []string
	for _, r := range routes {
		if r.Gw != nil {
			gateways = append(gateways, r.Gw.String())
		}
	}
	if len(gateways) != 2 || gateways[0] != "198.18.0.1" {
		t.Errorf("by %v, want the first one first, each once", gateways)
	}
}

func TestWhatALegStandsOnIsWatched(t *testing.T) {
	n := rtnltest.New(t)
	n.Bridge(t, "lan0")
	link := n.Bridge(t, "lan1")
	n.Address(t, "lan1", "198.18.0.7/16")
	host := &netlink.Route{LinkIndex: link, Dst: rtnl.IPNet(netip.MustParsePrefix("198.18.1.5/32")), Scope: netlink.SCOPE_LINK, Protocol: 168}
	must(t, n.AddRoute(host))
	events, err := n.WatchLegs(168)
	must(t, err)
	defer events.Close()
	steps := []struct {
		name string
		do   func()
	}{
		{"an address", func() { n.Address(t, "lan1", "198.19.0.7/16") }},
		{"a default route", func() { must(t, n.AddRoute(&netlink.Route{LinkIndex: link, Gw: net.ParseIP("198.18.0.1")})) }},
		{"a host route of ours gone", func() { must(t, n.DelRoute(host)) }},
		{"a link down", func() { must(t, n.SetDown(link)) }},
		{"a link gone", func() { must(t, n.Delete("lan0")) }},
	}
	for _, s := range steps {
		s.do()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := events.Wait(ctx); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		drain(t, events)
		cancel()
	}
	// What wakes nobody: routes of others, neighbours, links that are made.
	must(t, n.SetUp(link))
	drain(t, events)
	other := *host
	other.Protocol = 4
	must(t, n.AddRoute(&other))
	must(t, n.DelRoute(&other))
	must(t, n.SetNeighbour(link, netip.MustParseAddr("198.18.1.9"), net.HardwareAddr{2, 0, 0, 0, 0, 1}))
	if n := drain(t, events); n > 0 {
		t.Errorf("%d events for what others do", n)
	}
}

// drain reads what has been told already: the kernel has told of a change before
// it says that it is done.
func drain(t *testing.T, events *rtnl.Events) (read int) {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		err := events.Wait(ctx)
		cancel()
		if err != nil {
			return read
		}
		read++
	}
}
