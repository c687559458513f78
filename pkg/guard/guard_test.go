package guard_test

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/podlan/podlan/pkg/guard"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

func port(name string, last byte) guard.Port {
	return guard.Port{
		Name:  name,
		MAC:   net.HardwareAddr{2, 0, 0, 0, 1, last},
		Addrs: []netip.Addr{netip.AddrFrom4([4]byte{198, 18, 1, last}), netip.MustParseAddr("fd00::1")},
	}
}

func TestAPortIsListedAsItWasAddedUntilItIsRemoved(t *testing.T) {
	ctx := context.Background()
	g := guard.New(rtnltest.New(t).Handle, t.TempDir())
	a, b := port("vethpl000000001", 1), port("vethpl000000002", 2)
	b.DHCPClient = true
	for _, p := range []guard.Port{a, b, a} {
		if err := g.Add(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	checkPorts(t, g, a, b)
	a.Addrs = []netip.Addr{netip.MustParseAddr("198.18.1.77")}
	if err := g.Add(ctx, a); err != nil {
		t.Fatal(err)
	}
	checkPorts(t, g, a, b)
	for range 2 {
		if err := g.Remove(ctx, a); err != nil {
			t.Fatal(err)
		}
	}
	checkPorts(t, g, b)
}

func checkPorts(t *testing.T, g *guard.Guard, want ...guard.Port) {
	t.Helper()
	got, err := g.Ports(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	byName := cmpopts.SortSlices(func(a, b guard.Port) bool { return a.Name < b.Name })
	if diff := cmp.Diff(want, got, byName, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("ports that stand (-want +got):\n%s", diff)
	}
	for _, p := range want {
		if err := g.Check(context.Background(), p); err != nil {
			t.Error(err)
		}
	}
}
