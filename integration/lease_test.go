package integration_test

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/podlan/podlan/integration/lab"
)

// realServers are those that users have.
func realServers() []lab.ServerKind { return []lab.ServerKind{lab.Dnsmasq, lab.Kea, lab.ISC} }

// awaitNoLease waits until the server holds no lease of the addresses, and its
// log shows a DHCPRELEASE for each.
func awaitNoLease(t *testing.T, server *lab.Server, addrs ...netip.Addr) {
	t.Helper()
	lab.Eventually(t, "the server got every lease back", func() error {
		for _, lease := range server.ActiveLeases() {
			if slices.Contains(addrs, lease.Addr) {
				return fmt.Errorf("%s is still leased to %s", lease.Addr, lease.MAC)
			}
		}
		released := map[netip.Addr]bool{}
		for _, r := range server.Releases() {
			released[r.Addr] = true
		}
		for _, addr := range addrs {
			if !released[addr] {
				return fmt.Errorf("no DHCPRELEASE of %s in the server's log", addr)
			}
		}
		return nil
	})
}

// awaitLease waits until the server's database shows the lease: it is written
// after the answer.
func awaitLease(t *testing.T, server *lab.Server, addr netip.Addr) {
	t.Helper()
	lab.Eventually(t, "the server's lease", func() error {
		for _, lease := range server.ActiveLeases() {
			if lease.Addr == addr {
				return nil
			}
		}
		return fmt.Errorf("the server holds no lease of %s", addr)
	})
}

func TestALeasedPodIsANeighbourOfTheHosts(t *testing.T) {
	t.Parallel()
	for _, kind := range lab.AllServers() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			l := lab.New(t, options(t, lab.Options{Server: kind}))
			client := l.Host("client")
			node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
			node.StartPodland()
			conf := network(node, leased())
			pod := node.Pod("p1")

			addr := address(t, attach(t, node, conf, pod))
			awaitLease(t, l.Server(), addr)
			reaches(t, client, addr)
			reaches(t, pod, client.Addr.Addr())
			reaches(t, node, addr)
			if err := node.Check(t.Context(), conf, pod); err != nil {
				t.Errorf("CHECK: %v", err)
			}
			detach(t, node, conf, pod)
			awaitNoLease(t, l.Server(), addr)
		})
	}
}

func TestTheServerGetsEveryLeaseBack(t *testing.T) {
	t.Parallel()
	for _, kind := range realServers() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			l := lab.New(t, options(t, lab.Options{Server: kind}))
			node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
			node.StartPodland()
			conf := network(node, leased())
			before := node.Snapshot()

			given := manyPods(t, node, conf, 12)
			all := slices.Clone(given.addrs)
			for i := range 4 { // an orderly end
				detach(t, node, conf, given.pods[i])
			}
			for i := 4; i < 8; i++ { // the namespace is gone first
				if err := given.pods[i].Close(); err != nil {
					t.Fatal(err)
				}
				detach(t, node, conf, given.pods[i], lab.Attachment{NoNetns: i%2 == 0})
			}
			node.KillPodland() // podland is down
			for i := 8; i < 12; i++ {
				if i%2 == 0 {
					_ = given.pods[i].Close()
				}
				detach(t, node, conf, given.pods[i])
			}
			node.StartPodland()
			awaitNoLease(t, l.Server(), all...)
			asBefore(t, node, before)
		})
	}
}

type podsWithAddrs struct {
	pods  []*lab.Pod
	addrs []netip.Addr
}

// manyPods attaches n Pods at once.
func manyPods(t *testing.T, node *lab.Node, conf []byte, n int) podsWithAddrs {
	t.Helper()
	given := podsWithAddrs{addrs: make([]netip.Addr, n)}
	for i := range n {
		given.pods = append(given.pods, node.Pod(fmt.Sprintf("many%d", i)))
	}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			result, err := node.Add(t.Context(), conf, given.pods[i])
			if err != nil {
				t.Errorf("ADD %d: %v", i, err)
				return
			}
			given.addrs[i] = address(t, lab.Result(t, result))
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	if sorted := slices.Compact(slices.SortedFunc(slices.Values(given.addrs), netip.Addr.Compare)); len(sorted) != n {
		t.Fatalf("%d addresses for %d Pods", len(sorted), n)
	}
	return given
}

// The reference bridge removes the link before it calls the IPAM plugin's DEL.
func TestFromUnderTheReferenceBridgeALeaseIsGivenBackToo(t *testing.T) {
	t.Parallel()
	for _, kind := range realServers() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			l := lab.New(t, options(t, lab.Options{Server: kind}))
			client := l.Host("client")
			node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
			node.StartPodland()
			conf := network(node, leased(), object{"type": "bridge", "uplink": "eth1", "cniVersion": "1.0.0"})
			pod, gone := node.Pod("p1"), node.Pod("p2")
			addr := address(t, attach(t, node, conf, pod))
			addrGone := address(t, attach(t, node, conf, gone))
			reaches(t, client, addr)
			detach(t, node, conf, pod)
			_ = gone.Close()
			detach(t, node, conf, gone, lab.Attachment{NoNetns: true})
			awaitNoLease(t, l.Server(), addr, addrGone)
		})
	}
}

func TestARetriedSandboxKeepsItsLeaseAndTheOldOnesDELDoesNotEndIt(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Dnsmasq}))
	client := l.Host("client")
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	conf := network(node, leased())
	at := lab.Attachment{Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_UID", "7c1d"}}}
	first, second := node.Pod("sandbox1"), node.Pod("sandbox2")

	old := address(t, attach(t, node, conf, first, at))
	retried := address(t, attach(t, node, conf, second, at))
	if old != retried {
		t.Errorf("the retried sandbox has %s, the first had %s", retried, old)
	}
	detach(t, node, conf, first, at)
	reaches(t, client, retried)
	awaitLease(t, l.Server(), retried)
	if len(l.Server().Releases()) > 0 {
		t.Errorf("released: %v", l.Server().Releases())
	}
	if err := node.Check(t.Context(), conf, second, at); err != nil {
		t.Errorf("CHECK: %v", err)
	}
	detach(t, node, conf, second, at)
	awaitNoLease(t, l.Server(), retried)
}

func TestGCGivesTheLeasesBackThatAreNotListed(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Dnsmasq}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	conf := network(node, leased())
	pod := node.Pod("p1")
	addr := address(t, attach(t, node, conf, pod))
	forgetResults(t, node)
	if err := node.GC(t.Context(), conf); err != nil {
		t.Fatal(err)
	}
	awaitNoLease(t, l.Server(), addr)
	if leases := leasesOf(t, node); len(leases) > 0 {
		t.Errorf("podland still holds %v", leases)
	}
	if err := node.Check(t.Context(), conf, pod); err == nil {
		t.Error("CHECK of what was collected succeeds")
	}
}

func TestSTATUSFailsOnlyForWhatKeepsAnADDFromWorking(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	conf := network(node, leased(), object{"uplink": "eth1"})
	if err := node.Status(t.Context(), conf); cniCode(err) != 50 {
		t.Errorf("podland down: %v, want code 50", err)
	}
	node.StartPodland()
	if err := node.Status(t.Context(), conf); err != nil {
		t.Errorf("all well: %v", err)
	}
	if err := node.SetLink("eth1", false); err != nil {
		t.Fatal(err)
	}
	if err := node.Status(t.Context(), conf); err != nil {
		t.Errorf("uplink without carrier: %v, want success", err)
	}
	missing := network(node, leased(), object{"uplink": "eth7"})
	if err := node.Status(t.Context(), missing); cniCode(err) != 50 {
		t.Errorf("uplink missing: %v, want code 50", err)
	}
}
