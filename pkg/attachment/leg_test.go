package attachment_test

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
)

// legged does what an ADD does of the node's side of a leg.
func (n node) legged(t *testing.T, id string) attachment.Record {
	t.Helper()
	const bridge = "pods0"
	rec := n.attach(t, id, bridge)
	rec.Service = netconf.Service{Mode: netconf.ServiceSNAT, CIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}}
	rec.NodeIP, rec.Leg = netip.MustParseAddr("198.51.100.10"), bridge
	must(t, n.Store.Put(rec))
	must(t, n.Store.AddLeg(t.Context(), n.Legs, rec))
	l, _ := rec.PodLeg()
	must(t, n.Legs.Check(t.Context(), l))
	return rec
}

// numbered gives the node an address that is not in the Pods' network.
func (n node) numbered(t *testing.T) {
	t.Helper()
	n.Bridge(t, "up0")
	n.Address(t, "up0", "198.51.100.10/24")
}

// nothingOfLegs fails if a route or a table of legs stands.
func (n node) nothingOfLegs(t *testing.T) {
	t.Helper()
	routes, err := n.RoutesOf(leg.Origin)
	must(t, err)
	var tables []string
	must(t, n.Do(func() error {
		c, err := nftables.New()
		must(t, err)
		all, err := c.ListTablesOfFamily(nftables.TableFamilyIPv4)
		for _, table := range all {
			tables = append(tables, table.Name)
		}
		return err
	}))
	if len(routes)+len(tables) > 0 {
		t.Errorf("left: routes %v, tables %v", routes, tables)
	}
}

func TestTheNodesSideOfALegGoesWithItsAttachment(t *testing.T) {
	n := newNode(t)
	n.numbered(t)
	one, two := n.legged(t, "c1"), n.legged(t, "c2")
	must(t, n.Remove(t.Context(), one))
	left, _ := two.PodLeg()
	must(t, n.Legs.Check(t.Context(), left))
	for range 2 {
		must(t, n.Remove(t.Context(), two))
		n.nothingOfLegs(t)
	}
}

// Each of them is on record while the others go.
func TestLegsThatEndAtOnceLeaveNothing(t *testing.T) {
	n := newNode(t)
	n.numbered(t)
	var all []attachment.Record
	for _, id := range []string{"c1", "c2", "c3", "c4", "c5", "c6"} {
		all = append(all, n.legged(t, id))
	}
	var wg sync.WaitGroup
	for _, rec := range all {
		wg.Go(func() {
			if err := n.Remove(t.Context(), rec); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	n.nothingOfLegs(t)
}

func TestAClosedPortHasNoLegAndOneThatIsOpenedHas(t *testing.T) {
	n := newNode(t)
	n.numbered(t)
	rec := n.legged(t, "c1")
	gate := attachment.Gate(n.Teardown)
	must(t, gate.Close(t.Context(), rec, "expired"))
	n.nothingOfLegs(t)
	closed, err := n.Store.Get(rec.Key)
	must(t, err)
	must(t, gate.Shut(t.Context(), closed))
	must(t, gate.Open(t.Context(), closed))
	l, _ := rec.PodLeg()
	must(t, n.Legs.Check(t.Context(), l))
	now, err := n.Store.Get(rec.Key)
	rec.Version = attachment.Version
	if diff := cmp.Diff(rec, now, prefixes()); err != nil || diff != "" {
		t.Errorf("%v (-before +now):\n%s", err, diff)
	}
}

// An ADD may die between any two steps of its leg's, and its own undoing as well.
func TestALegOfWhichOnlyAPartWasMadeGoes(t *testing.T) {
	partly := map[string]func(t *testing.T, n node, rec attachment.Record){
		"its record alone": func(t *testing.T, n node, rec attachment.Record) {
			t.Helper()
			n.noRoute(t, rec)
			n.noTable(t)
		},
		"the route":     func(t *testing.T, n node, _ attachment.Record) { t.Helper(); n.noTable(t) },
		"the table":     func(t *testing.T, n node, rec attachment.Record) { t.Helper(); n.noRoute(t, rec) },
		"no word of it": func(t *testing.T, n node, rec attachment.Record) { t.Helper(); must(t, n.Store.Delete(rec.Key)) },
	}
	for name, left := range partly {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.numbered(t)
			rec := n.legged(t, "c1")
			rec.State = attachment.Intent
			must(t, n.Store.Put(rec))
			left(t, n, rec)
			must(t, n.Remove(t.Context(), rec))
			n.nothingOfLegs(t)
			if _, err := n.Store.Get(rec.Key); err == nil {
				t.Error("its record is left")
			}
		})
	}
}

func (n node) noRoute(t *testing.T, rec attachment.Record) {
	t.Helper()
	pod := rec.Addrs[0].Addr()
	must(t, n.DelRoute(&netlink.Route{Dst: rtnl.IPNet(netip.PrefixFrom(pod, pod.BitLen())), Scope: netlink.SCOPE_LINK, Protocol: leg.Origin}))
	must(t, n.DelNeighbour(n.Must(t, rec.Leg).Attrs().Index, pod))
}

func (n node) noTable(t *testing.T) {
	t.Helper()
	n.ChangeNFT(t, func(c *nftables.Conn) {
		c.DelTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "podlan_service"})
	})
}
