package daemon

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
)

const (
	nodeAddr  = "198.51.100.10"
	otherAddr = "198.51.100.11"
)

// legged is an attached Pod with its way to Services, of a node whose own address
// is elsewhere.
func (r *reconciled) legged(t *testing.T) attachment.Record {
	t.Helper()
	rec, _ := r.attached(t)
	r.Bridge(t, "up0")
	r.Address(t, "up0", nodeAddr+"/24")
	r.byDefault(t, nodeAddr)
	rec.Service = netconf.Service{Mode: netconf.ServiceSNAT, CIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}}
	rec.NodeIP, rec.Leg = netip.MustParseAddr(nodeAddr), rec.Bridge
	must(t, r.store.Put(rec))
	must(t, r.store.AddLeg(t.Context(), r.teardown.Legs, rec))
	rec, err := rec.ConfigureLeg(t.Context(), r.Handle)
	must(t, err)
	must(t, r.store.Put(rec))
	must(t, r.legStands(t, rec.Key))
	return rec
}

// byDefault gives the node a default route from that address.
func (r *reconciled) byDefault(t *testing.T, from string) {
	t.Helper()
	must(t, r.ReplaceRoute(&netlink.Route{
		LinkIndex: r.Must(t, "up0").Attrs().Index, Gw: net.ParseIP("198.51.100.1"), Src: net.ParseIP(from),
	}))
}

// legStands is nil if both sides are as the record has them.
func (r *reconciled) legStands(t *testing.T, key leaseapi.Key) error {
	t.Helper()
	rec, err := r.store.Get(key)
	must(t, err)
	l, _ := rec.PodLeg()
	return errors.Join(r.teardown.Legs.Check(t.Context(), l), leg.VerifyPod(t.Context(), rec.Netns, rec.IfName, rec.SideGiven()))
}

func TestTheNodesSideOfALegIsPutBack(t *testing.T) {
	cases := map[string]func(t *testing.T, r *reconciled, rec attachment.Record){
		"the ruleset is flushed": func(t *testing.T, r *reconciled, _ attachment.Record) {
			t.Helper()
			r.flushRuleset(t)
		},
		"the route is deleted": func(t *testing.T, r *reconciled, rec attachment.Record) {
			t.Helper()
			must(t, r.DelRoute(&netlink.Route{Dst: rtnl.IPNet(netip.PrefixFrom(rec.Addrs[0].Addr(), 32)), Scope: netlink.SCOPE_LINK, Protocol: leg.Origin}))
		},
	}
	for name, disturb := range cases {
		t.Run(name, func(t *testing.T) {
			r := newReconciled(t)
			rec := r.legged(t)
			r.runs(t, r.newRestorer())
			disturb(t, r, rec)
			await(t, "all stands again", func() bool { return r.legStands(t, rec.Key) == nil })
		})
	}
}

// The node gets another address: its side follows, and the Pod's where podland may
// enter it; else the status says what that lacks.
func TestALegFollowsTheNodesAddress(t *testing.T) {
	for _, pods := range []bool{true, false} {
		r := newReconciled(t)
		rec := r.legged(t)
		restorer := newRestorer(r.teardown, pods, slog.New(slog.DiscardHandler), func(string) {})
		restorer.once(t.Context())
		r.Address(t, "up0", otherAddr+"/24")
		r.byDefault(t, otherAddr)
		restorer.once(t.Context())
		seen := restorer.legs.services()
		if err := r.legStands(t, rec.Key); err != nil {
			t.Fatalf("%v; %+v", err, seen)
		}
		now, err := r.store.Get(rec.Key)
		must(t, err)
		if now.NodeIP.String() != otherAddr || slices.Contains(now.PodSide.NodeAddrs, now.NodeIP) != pods {
			t.Errorf("Pod access %t: the record has %s, and in the Pod %v", pods, now.NodeIP, now.PodSide.NodeAddrs)
		}
		if seen == nil || len(seen.Networks) != 1 || seen.Networks[0].Pods != 1 || seen.Networks[0].NodeIP != now.NodeIP || seen.Problem != "" {
			t.Errorf("services: %+v", seen)
		} else if lacks := len(seen.Behind) == 1 && slices.Equal(seen.Behind[0].Lacks, []string{otherAddr + "/32"}); lacks == pods {
			t.Errorf("Pod access %t: behind %+v", pods, seen.Behind)
		}
	}
}

func TestALegFollowsAReplacedAddress(t *testing.T) {
	r := newReconciled(t)
	rec := r.legged(t)
	next := r.lose(rec.Key, "re-ranged")
	next.Address, next.Router, next.WhenLost = netip.MustParsePrefix("203.0.113.9/24"), netip.MustParseAddr("203.0.113.1"), leaseapi.Replace
	r.set(next)
	must(t, r.follower.follow(t.Context(), rec.Key))
	must(t, r.legStands(t, rec.Key))
	routes, err := r.RoutesOf(leg.Origin)
	must(t, err)
	if len(routes) != 1 || routes[0].Dst.IP.String() != "203.0.113.9" {
		t.Errorf("routes %v", routes)
	}
}

// Bridged frames begin to pass iptables: what a Pod asks a Service of its own comes
// back by its port.
func TestHairpinFollowsTheSysctl(t *testing.T) {
	r := newReconciled(t)
	rec := r.legged(t)
	const sysctl = "net/bridge/bridge-nf-call-iptables"
	if value, err := r.ReadSysctl(sysctl); err != nil || value == "" {
		t.Fatalf("br_netfilter is missing (%v)", err)
	}
	restorer := r.newRestorer()
	for _, value := range []string{"0", "1", "0", "1"} {
		must(t, r.SetSysctls(rtnl.Sysctl{Path: sysctl, Value: value}))
		restorer.once(t.Context())
		restorer.once(t.Context())
		port, err := r.Port(r.Must(t, rec.HostEnd).Attrs().Index)
		must(t, err)
		if port.Flags.Hairpin != (value == "1") {
			t.Errorf("bridge-nf %s: hairpin is %t", value, port.Flags.Hairpin)
		}
	}
}
