package daemon

import (
	"net/netip"
	"testing"

	"github.com/podlan/podlan/pkg/lease"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// foreignPod is a Pod that another main plugin has made.
func (r *reconciled) foreignPod(t *testing.T) (*rtnltest.Netns, leaseapi.Lease) {
	t.Helper()
	there := rtnltest.New(t)
	there.Bridge(t, "eth0")
	there.Address(t, "eth0", "192.0.2.7/24")
	l := leaseapi.Lease{
		Key: oneKey(), State: leaseapi.StateBound, Address: netip.MustParsePrefix("192.0.2.7/24"), Router: netip.MustParseAddr("192.0.2.1"),
		Routes: []leaseapi.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), GW: netip.MustParseAddr("192.0.2.1")}},
	}
	l.IfName = "eth0"
	r.set(l)
	r.alone = []lease.Held{{Key: l.Key, Request: leaseapi.Request{Confirm: leaseapi.ByAddress, Netns: there.Path}}}
	return there, l
}

func (r *reconciled) has(t *testing.T, there *rtnltest.Netns, prefix string) bool {
	t.Helper()
	return bears(there.Path, leaseapi.Lease{Key: leaseapi.Key{IfName: "eth0"}, Address: netip.MustParsePrefix(prefix)})
}

func TestAPodOfAnotherMainPluginLosesItsAddressWithItsLeaseAndGetsItBack(t *testing.T) {
	for _, next := range []string{"192.0.2.7/24", "192.0.2.8/24"} {
		t.Run(next, func(t *testing.T) {
			r := newReconciled(t)
			there, was := r.foreignPod(t)
			r.once(t.Context())
			r.lose(was.Key, "the server said no")
			must(t, r.follower.follow(t.Context(), was.Key))
			if r.has(t, there, "192.0.2.7/24") {
				t.Fatal("it has the lost address")
			}
			r.once(t.Context())
			was.Address = netip.MustParsePrefix(next)
			r.set(was)
			r.once(t.Context())
			if !r.has(t, there, next) || next != "192.0.2.7/24" && r.has(t, there, "192.0.2.7/24") {
				t.Errorf("it has not what is leased\n%s", r.log.String())
			}
			routes, err := there.Routes(there.Must(t, "eth0").Attrs().Index)
			must(t, err)
			found := false
			for _, route := range routes {
				found = found || route.Gw.String() == "192.0.2.1"
			}
			if !found {
				t.Errorf("it has no default route: %v", routes)
			}
		})
	}
}

// podland may be killed between the lease's return and the address's.
func TestTheFirstLookFindsWhatAnEarlierPodlandLeft(t *testing.T) {
	r := newReconciled(t)
	there, l := r.foreignPod(t)
	l.Address = netip.MustParsePrefix("192.0.2.9/24")
	r.set(l)
	r.once(t.Context())
	if !r.has(t, there, "192.0.2.9/24") {
		t.Errorf("it has not what is leased\n%s", r.log.String())
	}
}

func TestWithoutPodAccessThePodOfAnotherMainPluginIsNotTouched(t *testing.T) {
	r := newReconciled(t)
	r.follower.foreign.pods = false
	there, l := r.foreignPod(t)
	r.lose(l.Key, "expired")
	r.once(t.Context())
	r.set(l)
	r.once(t.Context())
	if !r.has(t, there, "192.0.2.7/24") || len(r.events) > 0 {
		t.Errorf("events %v", r.events)
	}
}
