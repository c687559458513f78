package vlan_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// codeChanged is that of a CHECK that finds the attachment other than ADD left
// it (pkg/leaseapi).
const codeChanged = 105

// changes are what somebody may do to a segment, in alphabetical order, and what
// CHECK is to name.
type changes map[string]struct {
	change func(t *testing.T, s *site, r resident)
	words  []string
}

func setMTU(name string, mtu int) func(*testing.T, *site, resident) {
	return func(t *testing.T, s *site, _ resident) {
		t.Helper()
		change(t, s.node.Netns, name, func(h *netlink.Handle, l netlink.Link) error { return h.LinkSetMTU(l, mtu) })
	}
}

func takeOut(name string) func(*testing.T, *site, resident) {
	return func(t *testing.T, s *site, _ resident) {
		t.Helper()
		change(t, s.node.Netns, name, func(h *netlink.Handle, l netlink.Link) error { return h.LinkSetNoMaster(l) })
	}
}

func ofPort(f func(n *lab.Node, port string) error) func(*testing.T, *site, resident) {
	return func(t *testing.T, s *site, r resident) {
		t.Helper()
		must(t, f(s.node, r.port))
	}
}

func filteringChanges() changes {
	return changes{
		"PVID: another": {ofPort(func(n *lab.Node, p string) error {
			return n.SetVLAN(p, lab.PortVLAN{VID: 20, PVID: true, Untagged: true}, false)
		}), []string{"20"}},
		"PVID: none":                 {ofPort(func(n *lab.Node, p string) error { return n.DropVLAN(p, 10, false) }), []string{"10"}},
		"PVID: tagged":               {ofPort(func(n *lab.Node, p string) error { return n.SetVLAN(p, lab.PortVLAN{VID: 10, PVID: true}, false) }), []string{"10"}},
		"tags: VLAN 1 again":         {ofPort(func(n *lab.Node, p string) error { return n.SetVLAN(p, lab.PortVLAN{VID: 1, Untagged: true}, false) }), []string{"1"}},
		"tags: one more":             {ofPort(func(n *lab.Node, p string) error { return n.SetVLAN(p, lab.PortVLAN{VID: 99}, false) }), []string{"99"}},
		"tags: one less":             {ofPort(func(n *lab.Node, p string) error { return n.DropVLAN(p, 30, false) }), []string{"30"}},
		"tags: one untagged":         {ofPort(func(n *lab.Node, p string) error { return n.SetVLAN(p, lab.PortVLAN{VID: 30, Untagged: true}, false) }), []string{"30"}},
		"the uplink's: one less":     {ofPort(func(n *lab.Node, _ string) error { return n.DropVLAN("eth1", 10, false) }), []string{"eth1", "10"}},
		"the uplink's: a trunk's":    {ofPort(func(n *lab.Node, _ string) error { return n.DropVLAN("eth1", 30, false) }), []string{"eth1", "30"}},
		"the bridge's own: one less": {ofPort(func(n *lab.Node, _ string) error { return n.DropVLAN("lan0", 10, true) }), []string{"lan0", "10"}},
		"the uplink left":            {takeOut("eth1"), []string{"eth1", "lan0"}},
	}
}

func subinterfaceChanges() changes {
	remove := func(t *testing.T, s *site, _ resident) {
		t.Helper()
		change(t, s.node.Netns, "eth1.10", func(h *netlink.Handle, l netlink.Link) error { return h.LinkDel(l) })
	}
	return changes{
		"it left":          {takeOut("eth1.10"), []string{"eth1.10", "lan0-10"}},
		"its MTU":          {setMTU("eth1.10", 1400), []string{"MTU", "1400"}},
		"then it vanishes": {remove, []string{"eth1.10"}},
	}
}

func (m mode) changes() changes {
	if m == filtering {
		return filteringChanges()
	}
	return subinterfaceChanges()
}

// With podland down nobody repairs, and CHECK tells.
func TestCHECKNoticesWhatSomebodyChanged(t *testing.T) {
	t.Parallel()
	rtnltest.NeedVLAN(t)
	for _, m := range modes() {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			s := newStaticSite(t, m, 10, 20, 30)
			keys := object{}
			if m == filtering {
				keys["vlanTrunk"] = []object{{"id": 30}}
			}
			r := s.settle(t, "p1", 10, hostLocal(), keys)
			right := s.node.Snapshot()
			all := m.changes()
			for _, name := range slices.Sorted(maps.Keys(all)) {
				t.Run(strings.ReplaceAll(name, ":", ""), func(t *testing.T) {
					must(t, s.node.Check(t.Context(), r.conf, r.Pod))
					all[name].change(t, s, r)
					says(t, s.node.Check(t.Context(), r.conf, r.Pod), codeChanged, all[name].words...)
					s.undo(t, r, right)
				})
			}
		})
	}
}

// undo puts membership, MTU and VLANs of what still stands back.
func (s *site) undo(t *testing.T, r resident, right lab.Snapshot) {
	t.Helper()
	for name := range s.node.Snapshot().Links {
		l := right.Links[name]
		if l.Master != "" {
			must(t, s.node.Enslave(name, l.Master))
		}
		if l.Tag != "" {
			setMTU(name, l.MTU)(t, s, r)
		}
	}
	if s.mode != filtering {
		return
	}
	for _, name := range []string{r.port, "eth1", "lan0"} {
		self := name == "lan0"
		table, err := s.node.VLANTable(name)
		must(t, err)
		for _, v := range table {
			if !slices.Contains(right.Links[name].VLANs, v) {
				must(t, s.node.DropVLAN(name, v.VID, self))
			}
		}
		for _, v := range right.Links[name].VLANs {
			must(t, s.node.SetVLAN(name, v, self))
		}
	}
}

func TestPodlandRestoresTheVLANsOfAPort(t *testing.T) {
	t.Parallel()
	s := newStaticSite(t, filtering, 10, 20, 30)
	r := s.settle(t, "p1", 10, hostLocal(), object{"vlanTrunk": []object{{"id": 30}}})
	right := s.tables(t, r)
	all := filteringChanges()
	delete(all, "the uplink left") // the administrator's bridge and port
	disturb := func(t *testing.T, name string) {
		t.Helper()
		all[name].change(t, s, r)
	}
	disturb(t, "PVID: another") // while podland is down
	s.node.StartPodland()
	s.awaitTables(t, r, right)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(strings.ReplaceAll(name, ":", ""), func(t *testing.T) {
			disturb(t, name)
			s.awaitTables(t, r, right)
			must(t, s.node.Check(t.Context(), r.conf, r.Pod))
			reaches(t, s.hosts[10].Netns, r.addr)
		})
	}
}

// tables are the VLAN tables of the Pod's port, the uplink and the bridge itself.
func (s *site) tables(t *testing.T, r resident) string {
	t.Helper()
	text, err := s.lookUp(r)
	must(t, err)
	return text
}

func (s *site) lookUp(r resident) (string, error) {
	var text strings.Builder
	for _, name := range []string{r.port, "eth1", "lan0"} {
		table, err := s.node.VLANTable(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&text, "%s: %v\n", name, table)
	}
	return text.String(), nil
}

func (s *site) awaitTables(t *testing.T, r resident, want string) {
	t.Helper()
	lab.Eventually(t, "the VLAN tables", func() error {
		got, err := s.lookUp(r)
		if err == nil && got != want {
			err = fmt.Errorf("they are\n%s, want\n%s", got, want)
		}
		return err
	})
}
