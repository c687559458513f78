package daemon

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/statefile"
)

func (r *reconciled) lose(key leaseapi.Key, reason string) leaseapi.Lease {
	was := r.held[key]
	lost := was
	lost.State, lost.Reason = leaseapi.StateLost, reason
	r.set(lost)
	return was
}

func TestALostLeaseClosesThePortAndOneThatIsBackOpensIt(t *testing.T) {
	r := newReconciled(t)
	rec, _ := r.attached(t)
	was := r.lose(rec.Key, "the server said no")
	for range 2 { // it looks at what is
		must(t, r.follower.follow(t.Context(), rec.Key))
	}
	if !r.closed(t, rec) {
		t.Fatal("the port is open")
	}
	now, err := r.store.Get(rec.Key)
	if err != nil || now.Closed != "the server said no" {
		t.Errorf("closed for %q (%v)", now.Closed, err)
	}
	// As after a kill between the record and the guard.
	now.Closed = ""
	must(t, r.follower.gate.Open(t.Context(), now))
	now.Closed = "the server said no"
	must(t, r.store.Put(now))
	must(t, r.follower.follow(t.Context(), rec.Key))
	if !r.closed(t, rec) {
		t.Error("half closed for good")
	}
	r.set(was)
	for range 2 {
		must(t, r.follower.follow(t.Context(), rec.Key))
	}
	if r.closed(t, rec) {
		t.Error("the port is closed")
	}
	if want := []string{"closed", "opened"}; !slices.Equal(r.events, want) {
		t.Errorf("events %v, want %v", r.events, want)
	}
}

func TestWithThePolicyReplaceThePodGetsTheAddressThatIsLeasedNow(t *testing.T) {
	for _, first := range []string{"closed meanwhile", "never seen lost"} {
		t.Run(first, func(t *testing.T) {
			r := newReconciled(t)
			rec, there := r.attached(t)
			rec.Lease.RoutePriority = 77
			must(t, r.store.Put(rec))
			next := r.lose(rec.Key, "re-ranged")
			if first == "closed meanwhile" {
				must(t, r.follower.follow(t.Context(), rec.Key))
			}
			next.Address, next.Router, next.WhenLost = netip.MustParsePrefix("198.51.100.9/24"), netip.MustParseAddr("198.51.100.1"), leaseapi.Replace
			next.Routes = []leaseapi.Route{
				{Dst: netip.MustParsePrefix("0.0.0.0/0"), GW: next.Router},
				{Dst: netip.MustParsePrefix("203.0.113.0/24")},
			}
			r.set(next)
			must(t, r.follower.follow(t.Context(), rec.Key))
			now, err := r.store.Get(rec.Key)
			must(t, err)
			if !slices.Equal(now.Addrs, []netip.Prefix{next.Address}) || r.closed(t, now) {
				t.Errorf("the record has %v, closed %q", now.Addrs, now.Closed)
			}
			index := there.Must(t, rec.IfName).Attrs().Index
			addrs, err := there.Addrs(index)
			must(t, err)
			var have []string
			for _, a := range addrs {
				if a.IP.To4() != nil {
					have = append(have, a.IPNet.String())
				}
			}
			if !slices.Equal(have, []string{"198.51.100.9/24"}) {
				t.Errorf("the Pod has %v", have)
			}
			routes, err := there.Routes(index)
			must(t, err)
			text := ""
			for _, route := range routes {
				if route.Gw != nil && route.Priority != 77 {
					t.Errorf("metric %d", route.Priority)
				}
				text += route.String() + "\n"
			}
			if !strings.Contains(text, "198.51.100.1") || !strings.Contains(text, "203.0.113.0/24") {
				t.Errorf("the Pod's routes:\n%s", text)
			}
		})
	}
}

func TestAChangedMaskClosesNothing(t *testing.T) {
	r := newReconciled(t)
	rec, _ := r.attached(t)
	wider := r.held[rec.Key]
	wider.Address = netip.MustParsePrefix("192.0.2.7/23")
	r.set(wider)
	must(t, r.follower.follow(t.Context(), rec.Key))
	if r.closed(t, rec) || len(r.events) > 0 {
		t.Errorf("events %v", r.events)
	}
}

func TestAnAddressThatIsNotThePodsOpensNothingWithoutThePolicyReplace(t *testing.T) {
	r := newReconciled(t)
	rec, _ := r.attached(t)
	other := r.held[rec.Key]
	other.Address = netip.MustParsePrefix("192.0.2.8/24")
	r.set(other)
	must(t, r.follower.follow(t.Context(), rec.Key))
	if !r.closed(t, rec) {
		t.Error("the port is open")
	}
}

// podland asks for the lost lease through it.
func TestAPortWithItsOwnDHCPClientStaysUpForDHCPAlone(t *testing.T) {
	r := newReconciled(t)
	rec, _ := r.attached(t)
	rec.DHCP = true
	must(t, r.store.Put(rec))
	r.lose(rec.Key, "expired")
	must(t, r.follower.follow(t.Context(), rec.Key))
	ports, err := r.teardown.Guard.Ports(t.Context())
	must(t, err)
	if len(ports) != 1 || !ports[0].DHCPClient || len(ports[0].Addrs) != 0 || !rtnl.HasCarrier(r.Must(t, rec.HostEnd)) {
		t.Errorf("guard %+v, carrier %t", ports, rtnl.HasCarrier(r.Must(t, rec.HostEnd)))
	}
}

func TestWithoutAGuardTheAddressIsTakenOutOfThePodThatAsksByItself(t *testing.T) {
	r := newReconciled(t)
	rec, there := r.attached(t)
	rec.DHCP, rec.Guard = true, false
	must(t, r.store.Put(rec))
	was := r.lose(rec.Key, "expired")
	bears := func() bool {
		addrs, err := there.Addrs(there.Must(t, rec.IfName).Attrs().Index)
		must(t, err)
		for _, a := range addrs {
			if a.IPNet.String() == rec.Addrs[0].String() {
				return true
			}
		}
		return false
	}
	must(t, r.follower.follow(t.Context(), rec.Key))
	if bears() {
		t.Error("the Pod has its address")
	}
	r.set(was)
	must(t, r.follower.follow(t.Context(), rec.Key))
	if !bears() {
		t.Error("the Pod has not got its address back")
	}
}

func TestAPortOnWhichAVerbIsAtWorkIsFollowedLater(t *testing.T) {
	r := newReconciled(t)
	rec, _ := r.attached(t)
	lock, err := r.store.TryLock(rec.Key)
	must(t, err)
	r.lose(rec.Key, "expired")
	if err := r.follower.follow(t.Context(), rec.Key); err == nil || !strings.Contains(err.Error(), statefile.ErrLocked.Error()) {
		t.Errorf("got %v", err)
	}
	lock.Release()
	must(t, r.follower.follow(t.Context(), rec.Key))
	if !r.closed(t, rec) {
		t.Error("the port is open")
	}
}

func TestWhatHasNoRecordOrNoLeaseOfOursIsNotTouched(t *testing.T) {
	r := newReconciled(t)
	unknown := oneKey()
	unknown.ContainerID = "c9"
	r.set(leaseapi.Lease{Key: unknown, State: leaseapi.StateLost})
	must(t, r.follower.follow(t.Context(), unknown))
	rec, _ := r.attached(t)
	for _, change := range []func(*attachment.Record){
		func(rec *attachment.Record) { rec.State = attachment.Intent },
		func(rec *attachment.Record) { rec.State, rec.IPAM = attachment.Ready, "host-local" },
	} {
		change(&rec)
		must(t, r.store.Put(rec))
		r.lose(rec.Key, "expired")
		must(t, r.follower.follow(t.Context(), rec.Key))
		if r.closed(t, rec) {
			t.Errorf("closed: %+v", rec)
		}
	}
}
