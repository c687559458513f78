package guard_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/nftables"

	"github.com/podlan/podlan/pkg/guard"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

func port(number int) guard.Port {
	return guard.Port{
		Name: fmt.Sprintf("vethpl%09d", number),
		MAC:  net.HardwareAddr{2, 0, 0, 0, byte(number >> 8), byte(number)},
		Addrs: []netip.Addr{
			netip.AddrFrom4([4]byte{198, 18, byte(number >> 8), byte(number)}), netip.MustParseAddr("fd00::1"),
		},
	}
}

func newGuard(t *testing.T) (*guard.Guard, *rtnltest.Netns) {
	t.Helper()
	n := rtnltest.New(t)
	g := guard.New(n.Handle, t.TempDir())
	t.Cleanup(g.Close)
	return g, n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func checkPorts(t *testing.T, g *guard.Guard, want ...guard.Port) {
	t.Helper()
	got, err := g.Ports(t.Context())
	must(t, err)
	byName := cmpopts.SortSlices(func(a, b guard.Port) bool { return a.Name < b.Name })
	if diff := cmp.Diff(want, got, byName, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("ports that stand (-want +got):\n%s", diff)
	}
	for _, p := range want {
		if err := g.Check(t.Context(), p); err != nil {
			t.Error(err)
		}
	}
}

func TestAPortIsListedAsItWasAddedUntilItIsRemoved(t *testing.T) {
	g, _ := newGuard(t)
	checkPorts(t, g)
	a, b, c := port(1), port(2), port(3)
	b.DHCPClient = true
	c.LayerTwo, c.Addrs = true, nil
	for _, p := range []guard.Port{a, b, c, a} {
		must(t, g.Add(t.Context(), p))
	}
	checkPorts(t, g, a, b, c)
	must(t, g.Remove(t.Context(), a))
	must(t, g.Remove(t.Context(), a))
	checkPorts(t, g, b, c)
}

func TestAddReplacesAllThatStood(t *testing.T) {
	g, _ := newGuard(t)
	before, after := port(1), port(1)
	before.DHCPClient = true
	after.MAC, after.Addrs = net.HardwareAddr{2, 9, 9, 9, 9, 9}, []netip.Addr{netip.MustParseAddr("198.18.7.7")}
	must(t, g.Add(t.Context(), before))
	must(t, g.Add(t.Context(), after))
	checkPorts(t, g, after)
	// Whoever added the former elements again would find them gone.
	if err := g.Check(t.Context(), before); !hasCode(err, leaseapi.CodeChanged) {
		t.Errorf("the former port: %v", err)
	}
}

func TestRemoveIsContentWithNoTable(t *testing.T) {
	g, _ := newGuard(t)
	must(t, g.Remove(t.Context(), port(1)))
	must(t, g.Remove(t.Context(), guard.Port{Name: port(1).Name}))
}

func TestRemoveNeedsNoMoreThanTheName(t *testing.T) {
	g, _ := newGuard(t)
	must(t, g.Add(t.Context(), port(1)))
	must(t, g.Remove(t.Context(), guard.Port{Name: port(1).Name}))
	checkPorts(t, g)
}

func TestCheckNamesWhatIsMissing(t *testing.T) {
	g, n := newGuard(t)
	must(t, g.Add(t.Context(), port(1)))
	flush(t, n, "ip4")
	err := g.Check(t.Context(), port(1))
	if !hasCode(err, leaseapi.CodeChanged) || !strings.Contains(err.Error(), "ip4") {
		t.Errorf("Check: %v", err)
	}
	must(t, g.Add(t.Context(), port(1)))
	checkPorts(t, g, port(1))
}

// flush empties a set, as somebody else might.
func flush(t *testing.T, n *rtnltest.Netns, set string) {
	t.Helper()
	n.ChangeNFT(t, func(c *nftables.Conn) { c.FlushSet(&nftables.Set{Table: ours(), Name: set}) })
}

func TestATableOfAnotherVersionIsReplacedWithItsPorts(t *testing.T) {
	replacements := map[string]func(*guard.Guard) error{
		"by ADD": func(g *guard.Guard) error { return g.Add(t.Context(), port(2)) },
		"by podland": func(g *guard.Guard) error {
			restored, err := g.Restore(t.Context(), func() ([]guard.Port, error) { return []guard.Port{port(2)}, nil })
			if !restored {
				t.Error("podland takes the table for its own")
			}
			return err
		},
	}
	for name, replace := range replacements {
		t.Run(name, func(t *testing.T) {
			g, n := newGuard(t)
			n.ChangeNFT(t, func(c *nftables.Conn) {
				c.AddTable(ours())
				set := &nftables.Set{Table: ours(), Name: "ports_v3", KeyType: nftables.TypeIFName}
				name := make([]byte, 16)
				copy(name, port(1).Name)
				note := port(1).MAC.String() + " 198.18.0.1 fd00::1"
				must(t, c.AddSet(set, []nftables.SetElement{{Key: name, Comment: note}}))
			})
			must(t, replace(g))
			checkPorts(t, g, port(1), port(2))
			checkIntact(t, g, []guard.Port{port(1), port(2)}, true)
		})
	}
}

func TestReplaceLeavesExactlyThePortsGiven(t *testing.T) {
	g, _ := newGuard(t)
	must(t, g.Add(t.Context(), port(9999)))
	var ports []guard.Port
	for i := range 1000 {
		ports = append(ports, port(i))
	}
	must(t, g.Replace(t.Context(), ports))
	checkPorts(t, g, ports...)
	must(t, g.Replace(t.Context(), nil))
	checkPorts(t, g)
}

func TestManyAtOnceAllStand(t *testing.T) {
	g, n := newGuard(t)
	dir := t.TempDir()
	var wait sync.WaitGroup
	var want []guard.Port
	for i := range 100 {
		want = append(want, port(i))
		wait.Go(func() {
			one := guard.New(n.Handle, dir) // as a process of its own
			defer one.Close()
			if err := one.Add(t.Context(), port(i)); err != nil {
				t.Error(err)
			}
			if err := one.Add(t.Context(), port(1000+i)); err != nil {
				t.Error(err)
			}
			if err := one.Remove(t.Context(), port(1000+i)); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	checkPorts(t, g, want...)
}

func TestAPortThatTheGuardWouldNotMatchIsRefused(t *testing.T) {
	g, _ := newGuard(t)
	tests := map[string]func(*guard.Port){
		"another's name":     func(p *guard.Port) { p.Name = "veth0" },
		"a name too long":    func(p *guard.Port) { p.Name = "vethpl0123456789" },
		"no MAC":             func(p *guard.Port) { p.MAC = nil },
		"a group's MAC":      func(p *guard.Port) { p.ExtraMACs = []net.HardwareAddr{{1, 0, 0x5e, 0, 0, 1}} },
		"an empty address":   func(p *guard.Port) { p.ExtraAddrs = []netip.Addr{{}} },
		"a rate beyond all":  func(p *guard.Port) { p.Rates.Multicast = 1_000_001 },
		"too many addresses": func(p *guard.Port) { p.Addrs = manyAddrs() },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			p := port(1)
			spoil(&p)
			if err := g.Add(t.Context(), p); err == nil {
				t.Error("no error")
			}
		})
	}
}

func manyAddrs() []netip.Addr {
	var addrs []netip.Addr
	addr := netip.MustParseAddr("2001:db8:aaaa:bbbb:cccc:dddd:eeee:1")
	for range 500 {
		addrs, addr = append(addrs, addr), addr.Next()
	}
	return addrs
}

func TestWithoutPermissionTheErrorNamesTheCapability(t *testing.T) {
	g, n := newGuard(t)
	must(t, g.Add(t.Context(), port(1)))
	var err error
	withoutCapabilities(t, n, func() { err = g.Add(context.Background(), port(2)) })
	if !hasCode(err, leaseapi.CodeGuard) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("Add: %v", err)
	}
}

func hasCode(err error, code leaseapi.Code) bool {
	var cni *types.Error
	return errors.As(err, &cni) && cni.Code == uint(code)
}

// withoutCapabilities calls fn in the namespace, on a thread that has given up
// every capability and dies with it.
func withoutCapabilities(t *testing.T, n *rtnltest.Netns, fn func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- enterBare(n, fn)
	}()
	must(t, <-done)
}
