package integration_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
	"github.com/podlan/podlan/pkg/rtnl"
)

// forged is a MAC that no Pod has.
func forged() net.HardwareAddr { return net.HardwareAddr{0x02, 0xba, 0xd0, 0, 0, 2} }

// nft changes the node's nftables.
func nft(t *testing.T, node *lab.Node, change func(*nftables.Conn)) {
	t.Helper()
	if err := tryNFT(node, change); err != nil {
		t.Fatal(err)
	}
}

func tryNFT(node *lab.Node, change func(*nftables.Conn)) error {
	conn, err := nftables.New(nftables.WithNetNSFd(node.FD()))
	if err != nil {
		return err
	}
	change(conn)
	return conn.Flush()
}

func flushRuleset(c *nftables.Conn) { c.FlushRuleset() }

func guardTable() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyBridge, Name: "podlan"}
}

// guardStands tells whether the node has the guard's table.
func guardStands(node *lab.Node) error {
	conn, err := nftables.New(nftables.WithNetNSFd(node.FD()))
	if err != nil {
		return err
	}
	tables, err := conn.ListTablesOfFamily(nftables.TableFamilyBridge)
	if err == nil && !slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == "podlan" }) {
		err = errors.New("there is no table")
	}
	return err
}

// onHostEnd changes the host end as an administrator might.
func onHostEnd(t *testing.T, node *lab.Node, name string, change func(*netlink.Handle, netlink.Link) error) {
	t.Helper()
	h, err := node.Netlink()
	if err == nil {
		err = change(h, link(t, node.Netns, name))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// disturbance is what somebody does to a guarded port, and the event that
// podland counts when it has undone it; empty for none.
type disturbance struct {
	do    func(t *testing.T, node *lab.Node, hostEnd string)
	event string
}

func disturbances() map[string]disturbance {
	flags := func(set func(*netlink.Handle, netlink.Link) error) func(*testing.T, *lab.Node, string) {
		return func(t *testing.T, node *lab.Node, hostEnd string) {
			t.Helper()
			onHostEnd(t, node, hostEnd, set)
		}
	}
	table := func(change func(*nftables.Conn)) func(*testing.T, *lab.Node, string) {
		return func(t *testing.T, node *lab.Node, _ string) {
			t.Helper()
			nft(t, node, change)
		}
	}
	return map[string]disturbance{
		"flush ruleset": {table(flushRuleset), "guard_restored"},
		"delete table":  {table(func(c *nftables.Conn) { c.DelTable(guardTable()) }), "guard_restored"},
		"flush of a set": {table(func(c *nftables.Conn) {
			c.FlushSet(&nftables.Set{Table: guardTable(), Name: "ip4"})
		}), "guard_restored"},
		"flush of a chain": {table(func(c *nftables.Conn) {
			c.FlushChain(&nftables.Chain{Table: guardTable(), Name: "from_pod"})
		}), "guard_restored"},
		"nomaster": {flags(func(h *netlink.Handle, l netlink.Link) error { return h.LinkSetNoMaster(l) }), "port_restored"},
		"learning": {flags(func(h *netlink.Handle, l netlink.Link) error { return h.LinkSetLearning(l, true) }), "port_restored"},
		"flooding": {flags(func(h *netlink.Handle, l netlink.Link) error { return h.LinkSetFlood(l, true) }), "port_restored"},
		"unlocked": {unlock, "port_restored"},
		"flush of the forwarding table": {func(t *testing.T, node *lab.Node, hostEnd string) {
			t.Helper()
			onHostEnd(t, node, hostEnd, flushFDB)
		}, "port_restored"},
	}
}

// unlock makes an ordinary port of it.
func unlock(t *testing.T, node *lab.Node, hostEnd string) {
	t.Helper()
	h, err := rtnlOf(t, node)
	if err == nil {
		err = h.SetPortFlags(link(t, node.Netns, hostEnd).Attrs().Index, rtnl.PortFlags{Learning: true, Flood: true})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// rtnlOf is a handle of ours to the node's links.
func rtnlOf(t *testing.T, node *lab.Node) (h *rtnl.Handle, err error) {
	t.Helper()
	err = node.Do(func() (err error) {
		h, err = rtnl.Here()
		return err
	})
	if err == nil {
		t.Cleanup(h.Close)
	}
	return h, err
}

// flushFDB does what `bridge fdb flush dev` does where the kernel has it.
func flushFDB(h *netlink.Handle, port netlink.Link) error {
	entries, err := h.NeighList(port.Attrs().Index, unix.AF_BRIDGE)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.MasterIndex == 0 || e.State&netlink.NUD_PERMANENT != 0 { // the port's own MAC
			continue
		}
		e.Family, e.Flags = unix.AF_BRIDGE, netlink.NTF_MASTER
		err = errors.Join(err, h.NeighDel(&e))
	}
	return err
}

// asGuarded waits until port and table are as its ADD left them.
func asGuarded(t *testing.T, node *lab.Node, conf []byte, pod *lab.Pod, before lab.Snapshot) {
	t.Helper()
	lab.Eventually(t, "all stands as before", func() error {
		if err := node.Check(t.Context(), conf, pod); err != nil {
			return err
		}
		now, err := node.TakeSnapshot()
		if err != nil {
			return err
		}
		if diff := before.Diff(now); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

func TestPodlandPutsBackWhatHoldsAPortAndSaysSo(t *testing.T) {
	t.Parallel()
	for name, d := range disturbances() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, node := lanWithoutDHCP(t)
			node.StartPodland(lab.PodlandOptions{Args: []string{"--metrics-listen", metricsAddress}})
			conf, pod := network(node, hostLocal()), node.Pod("p1")
			result := attach(t, node, conf, pod)
			addr := address(t, result)
			before := node.Snapshot()
			d.do(t, node, result.Interfaces[1].Name)
			asGuarded(t, node, conf, pod, before)
			reaches(t, client, addr)
			lab.Eventually(t, "podland says so", func() error {
				counted := `podlan_port_events_total{event="` + d.event + `"}`
				if metrics := metricsOf(t, node); !strings.Contains(metrics, counted) {
					return fmt.Errorf("no %s among the metrics", counted)
				}
				if !strings.Contains(node.PodlandLog(), "restored") {
					return errors.New("nothing in the log")
				}
				return nil
			})
			s, heard := newSpeaker(t, pod, addr), client.Capture(client.Iface, nil)
			s.say(datagram(forged(), addr, "a forged MAC"), datagram(s.mac, addr.Prev(), "a forged address"))
			s.mark(heard)
			if got := heardAmong(heard.All(), []string{"a forged MAC", "a forged address"}); len(got) > 0 {
				t.Errorf("heard on the LAN: %v", got)
			}
		})
	}
}

// The second layer: with nobody there to restore the first.
func TestAPortHoldsItsMACWithoutTheGuardsTable(t *testing.T) {
	t.Parallel()
	client, node := lanWithoutDHCP(t)
	conf, pod := network(node, hostLocal()), node.Pod("p1")
	addr := address(t, attach(t, node, conf, pod))
	nft(t, node, flushRuleset)
	s, heard := newSpeaker(t, pod, addr), client.Capture(client.Iface, nil)
	gateway := macOf(t, client.Netns, client.Iface)
	known := learned(t, node, gateway)
	s.say(datagram(forged(), addr, "a forged MAC"), gratuitous(forged(), addr, "its ARP"), datagram(gateway, addr, "the LAN's own MAC"))
	s.mark(heard)
	if got := heardAmong(heard.All(), []string{"a forged MAC", "its ARP", "the LAN's own MAC"}); len(got) > 0 {
		t.Errorf("heard on the LAN: %v", got)
	}
	if now := learned(t, node, gateway); now != known {
		t.Errorf("the LAN host is at port %d of the bridge, was at %d", now, known)
	}
	if got := learned(t, node, forged()); got != 0 {
		t.Errorf("the forged MAC was learned at port %d", got)
	}
	reaches(t, client, addr)
}

// learned is the port at which the node's bridge knows a MAC, 0 if at none.
func learned(t *testing.T, node *lab.Node, mac net.HardwareAddr) int {
	t.Helper()
	h, err := node.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := h.NeighList(0, unix.AF_BRIDGE)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.HardwareAddr.String() == mac.String() && e.MasterIndex != 0 {
			return e.LinkIndex
		}
	}
	return 0
}

// liar sends with forged MACs all the time, until end is called.
func (s *speaker) liar() (end func()) {
	lies := [][]byte{datagram(forged(), s.addr, "a forged MAC"), gratuitous(forged(), s.addr, "its ARP")}
	return goOn(s.t.Context(), func() {
		for _, lie := range lies {
			_ = s.sock.Send(lie) // ENETDOWN while the port is
		}
	})
}

func isForged(f ether.Frame) bool { return f.Src.String() == forged().String() }

func TestNoForgedFramePassesWhilePodlandDiesAndStarts(t *testing.T) {
	t.Parallel()
	client, node := lanWithoutDHCP(t)
	node.StartPodland()
	conf, pod := network(node, hostLocal()), node.Pod("p1")
	addr := address(t, attach(t, node, conf, pod))
	heard := client.Capture(client.Iface, func(f ether.Frame) bool { return isForged(f) || has("forged address")(f) || has("mark")(f) })
	s := newSpeaker(t, pod, addr)
	// To one station: broadcasts would use up the rate that the mark needs.
	elsewhere := datagramTo(macOf(t, client.Netns, client.Iface), s.mac, addr.Prev(), client.Addr.Addr(), "a forged address")
	end := s.liar()
	endToo := goOn(t.Context(), func() { _ = s.sock.Send(elsewhere) })
	for range 3 {
		node.KillPodland()
		node.StartPodland()
		reaches(t, client, addr)
	}
	end()
	endToo()
	s.mark(heard)
	if n := len(heard.All()) - 1; n > 0 {
		t.Errorf("%d forged frames passed: %v", n, heard.All()[:1])
	}
}

// Until the restore addresses are free; the MACs never are.
func TestReloadsThatRaceADDsLeaveEveryPodGuarded(t *testing.T) {
	t.Parallel()
	const pods = 20
	client, node := lanWithoutDHCP(t)
	node.StartPodland()
	conf, first := network(node, hostLocal()), node.Pod("first")
	addr := address(t, attach(t, node, conf, first))
	heard := client.Capture(client.Iface, func(f ether.Frame) bool { return isForged(f) || has("mark")(f) || has("a forged address")(f) })
	s := newSpeaker(t, first, addr)
	lying := s.liar()
	flushes, flushing := 0, sync.WaitGroup{}
	added := make(chan struct{})
	flushing.Go(func() {
		for {
			select {
			case <-added:
				return
			default:
			}
			// Again as soon as it stands: the race is with the restoring too.
			if lab.Until(t.Context(), func() error { return guardStands(node) }) == nil && tryNFT(node, flushRuleset) == nil {
				flushes++
			}
		}
	})
	given := manyPods(t, node, conf, pods)
	close(added)
	flushing.Wait()
	if flushes == 0 {
		t.Error("nothing was flushed meanwhile")
	}
	for i, pod := range given.pods {
		lab.Eventually(t, "a Pod's port is whole", func() error { return node.Check(t.Context(), conf, pod) })
		reaches(t, client, given.addrs[i])
		own := newSpeaker(t, pod, given.addrs[i])
		own.say(datagram(own.mac, netip.MustParseAddr("198.18.98.98"), "a forged address"), datagram(forged(), own.addr, "a forged MAC"))
		own.mark(heard)
	}
	lying()
	s.mark(heard)
	if n := len(heard.All()) - pods - 1; n > 0 {
		t.Errorf("%d forged frames passed, in %d flushes", n, flushes)
	}
}
