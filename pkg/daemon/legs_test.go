package daemon

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/boottime"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/pod"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
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
	var err error
	rec.BootID, err = boottime.BootID()
	must(t, err)
	r.Bridge(t, "up0")
	r.Address(t, "up0", nodeAddr+"/24")
	r.byDefault(t, nodeAddr)
	rec.Service = netconf.Service{Mode: netconf.ServiceSNAT, CIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}}
	rec.NodeIP, rec.Leg = netip.MustParseAddr(nodeAddr), rec.Bridge
	must(t, r.store.Put(rec))
	must(t, r.store.AddLeg(t.Context(), r.teardown.Legs, rec))
	rec, err = rec.ConfigureLeg(t.Context(), r.Handle)
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
		"the bridge is deleted and made anew": func(t *testing.T, r *reconciled, rec attachment.Record) {
			t.Helper()
			must(t, r.Delete(rec.Bridge))
			r.Bridge(t, rec.Bridge)
		},
		"the bridge is set down and up": func(t *testing.T, r *reconciled, rec attachment.Record) {
			t.Helper()
			index := r.Must(t, rec.Bridge).Attrs().Index
			must(t, r.SetDown(index))
			must(t, r.SetUp(index))
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

// What a Pod was given and the node has no more goes, where podland may enter it;
// else the status says so.
func TestAPodIsRidOfAnAddressThatHasLeftTheNode(t *testing.T) {
	for _, pods := range []bool{true, false} {
		r := newReconciled(t)
		r.Bridge(t, "vip0")
		r.Address(t, "vip0", otherAddr+"/32")
		rec := r.legged(t)
		must(t, r.Delete("vip0"))
		restorer := newRestorer(r.teardown, pods, slog.New(slog.DiscardHandler), func(string) {})
		restorer.once(t.Context())
		must(t, r.legStands(t, rec.Key))
		now, err := r.store.Get(rec.Key)
		must(t, err)
		if gone := !slices.Contains(now.PodSide.NodeAddrs, netip.MustParseAddr(otherAddr)); gone != pods {
			t.Errorf("Pod access %t: the Pod has %v", pods, now.PodSide.NodeAddrs)
		}
		if behind := restorer.legs.services().Behind; pods != (len(behind) == 0) || !pods && !strings.Contains(strings.Join(behind[0].Lacks, ""), otherAddr+" has left") {
			t.Errorf("Pod access %t: behind %+v", pods, behind)
		}
	}
}

// The path of a dead Pod's namespace may lead to another, as a PID does that is used
// again: to the node's own, even.
func TestWhatHasTakenADeadPodsPlaceIsLeftAlone(t *testing.T) {
	r := newReconciled(t)
	rec := r.legged(t)
	somebody := rtnltest.New(t)
	somebody.Bridge(t, rec.IfName)
	somebody.Address(t, rec.IfName, rec.Addrs[0].String())
	rec.Netns = somebody.Path
	must(t, r.store.Put(rec))
	r.Address(t, "up0", otherAddr+"/24")
	restorer := r.newRestorer()
	restorer.once(t.Context())
	if _, err := rec.ConfigureLeg(t.Context(), r.Handle); err == nil {
		t.Error("a namespace that is not the Pod's is changed")
	}
	if err := rec.Readdress(t.Context(), pod.IPConfig{}); err == nil {
		t.Error("its address is taken from somebody else")
	}
	addrs, err := somebody.Addrs(somebody.Must(t, rec.IfName).Attrs().Index)
	must(t, err)
	if !slices.ContainsFunc(addrs, hasPrefix(rec.Addrs[0])) {
		t.Errorf("somebody else has %v left", addrs)
	}
	routes, err := somebody.RoutesOf(leg.Origin)
	must(t, err)
	if len(routes) > 0 {
		t.Errorf("routes of ours with somebody else: %v", routes)
	}
	if seen := restorer.legs.services(); seen != nil {
		t.Errorf("a dead Pod is told of: %+v", seen)
	}
}

// After a reboot, records of Pods that are no more stand beside the first new ones: the
// longer the node had run, the later they look.
func TestAFormerBootsNetworksAreNoNews(t *testing.T) {
	r := newReconciled(t)
	rec := r.legged(t)
	old := rec
	old.ContainerID, old.BootID, old.Deadline = "of-before", "former-boot", rec.Deadline+time.Hour
	old.HostEnd = attachment.HostEnd(old.Key, true)
	old.Service.CIDRs = []netip.Prefix{netip.MustParsePrefix("10.200.0.0/16")}
	must(t, r.store.Put(old))
	restorer := r.newRestorer()
	restorer.once(t.Context())
	now, err := r.store.Get(rec.Key)
	must(t, err)
	if !slices.Equal(now.Service.CIDRs, rec.Service.CIDRs) {
		t.Errorf("the Pod has got %v of a former boot", now.Service.CIDRs)
	}
}

// A Pod that an earlier Podlan made has no leg: it is told of, and goes as it came.
func TestAPodOfBeforeLegsIsToldOf(t *testing.T) {
	r := newReconciled(t)
	rec := r.legged(t)
	old := rec
	old.ContainerID, old.Service, old.NodeIP, old.Leg, old.PodSide = "before", netconf.Service{}, netip.Addr{}, "", attachment.PodSide{}
	old.Deadline = rec.Deadline - 1
	old.HostEnd = attachment.HostEnd(old.Key, true)
	must(t, r.store.Put(old))
	restorer := r.newRestorer()
	restorer.once(t.Context())
	if behind := restorer.legs.services().Behind; len(behind) != 1 || behind[0].Key != old.Key || !slices.Equal(behind[0].Lacks, []string{"10.96.0.0/12"}) {
		t.Errorf("behind %+v", behind)
	}
	must(t, r.teardown.Remove(t.Context(), old))
	must(t, r.legStands(t, rec.Key))
}

func TestALookLeavesNoDescriptorBehind(t *testing.T) {
	r := newReconciled(t)
	r.legged(t)
	restorer := r.newRestorer()
	open := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		return len(all)
	}
	restorer.once(t.Context())
	before := open()
	for range 20 {
		r.flushRuleset(t)
		restorer.once(t.Context())
	}
	await(t, "what was opened is closed", func() bool { return open() <= before+2 }) // a socket that is being closed
}
