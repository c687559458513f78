package integration_test

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/dhcpd"
	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
	"github.com/podlan/podlan/pkg/leaseapi"
)

func isDHCP(f ether.Frame) bool {
	_, ok := f.DHCP()
	return ok
}

func TestAKilledPodlandKnowsAllLeasesWithoutAPacketAndRenewsThem(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded, Lease: time.Hour, T1: 20 * time.Second, T2: 50 * time.Minute}))
	client := l.Host("client")
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	conf := network(node, leased())
	given := manyPods(t, node, conf, 10)
	before := leasesOf(t, node)

	node.KillPodland()
	capture := node.Capture("eth1", isDHCP)
	node.StartPodland()
	after := leasesOf(t, node)
	if frames := capture.All(); len(frames) > 0 {
		t.Errorf("%d DHCP frames on the wire, the first %v", len(frames), frames[0])
	}
	for i := range after {
		if after[i].Address != before[i].Address || after[i].State != leaseapi.StateBound || !near(after[i].ExpiresAt, before[i].ExpiresAt) {
			t.Errorf("lease %d was %+v and is %+v", i, before[i], after[i])
		}
	}
	if len(after) != len(given.pods) {
		t.Fatalf("%d leases after the start, want %d", len(after), len(given.pods))
	}
	renewed := awaitRenewals(t, l.Server().Embedded(), given.addrs)
	for addr, e := range renewed {
		if !e.UnicastL3() || e.SrcIP != addr {
			t.Errorf("renewed by %+v, want unicast from the leased address", e)
		}
	}
	reaches(t, client, given.addrs[0])
}

// near tells that two computations of one time agree to the second.
func near(a, b time.Time) bool { return a.Sub(b).Abs() < 2*time.Second }

func TestAPluginKilledInMidADDLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, victim := range []string{"podlan-bridge", "podlan-dhcp"} {
		for _, stage := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest} {
			t.Run(fmt.Sprintf("%s at %s", victim, stage), func(t *testing.T) {
				t.Parallel()
				killInMidADD(t, victim, stage)
			})
		}
	}
}

// A runtime that lost its plugin may call ADD again for the same container
// instead of DEL.
func TestAnADDAfterAKilledOneOfTheSameKeySucceeds(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	client := l.Host("client")
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	conf := network(node, leased())
	before := node.Snapshot()
	pod := node.Pod("p1")
	letGo := make(chan struct{})
	server := l.Server().Embedded()
	server.SetScript(dhcpd.On(dhcpd.Hold(letGo), dhcpv4.MessageTypeDiscover))
	cmd, err := node.PluginCmd(t.Context(), "ADD", conf, pod)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := server.AwaitType(t.Context(), dhcpv4.MessageTypeDiscover, 1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(cmd.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	server.SetScript(nil)
	close(letGo)
	addr := address(t, attach(t, node, conf, pod))
	reaches(t, client, addr)
	detach(t, node, conf, pod)
	nothingLeft(t, l, node, before)
}

// killInMidADD holds the server's answers to one type of message, kills the
// plugin meanwhile, and lets the answers go.
func killInMidADD(t *testing.T, victim string, stage dhcpv4.MessageType) {
	t.Helper()
	l := lab.New(t, options(t, lab.Options{Server: lab.Embedded}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	node.StartPodland()
	conf := network(node, leased(), object{"budget": "4s"})
	before := node.Snapshot()
	letGo := make(chan struct{})
	server := l.Server().Embedded()
	server.SetScript(dhcpd.On(dhcpd.Hold(letGo), stage))

	cmd, err := node.PluginCmd(t.Context(), "ADD", conf, node.Pod("p1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := server.AwaitType(t.Context(), stage, 1); err != nil {
		t.Fatal(err)
	}
	pid := cmd.PID()
	if victim == "podlan-dhcp" {
		if pid, err = lab.AwaitChild(t.Context(), pid, victim); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	close(letGo)
	if err := cmd.Wait(); err == nil {
		t.Error("the ADD succeeded")
	}
	nothingLeft(t, l, node, before)
}

// nothingLeft waits until links, rules, records and leases are as before.
func nothingLeft(t *testing.T, l *lab.Lab, node *lab.Node, before lab.Snapshot) {
	t.Helper()
	lab.Eventually(t, "nothing is left of the ADD", func() error {
		if leases := leasesOf(t, node); len(leases) > 0 {
			return fmt.Errorf("podland holds %v", leases)
		}
		if leases := l.Server().ActiveLeases(); len(leases) > 0 {
			return fmt.Errorf("the server holds %v", leases)
		}
		for _, folder := range []string{"attachments", "leases", "tombstones"} {
			files, err := filepath.Glob(filepath.Join(node.StateDir(), folder, "*.json"))
			if err != nil {
				return err
			}
			if len(files) > 0 {
				return fmt.Errorf("there are %v", files)
			}
		}
		return nil
	})
	asBefore(t, node, before)
}

// awaitRenewals waits for a REQUEST with ciaddr from each address and returns
// the first of each.
func awaitRenewals(t *testing.T, server *dhcpd.Server, addrs []netip.Addr) map[netip.Addr]dhcpd.Entry {
	t.Helper()
	found := map[netip.Addr]dhcpd.Entry{}
	err := server.Await(t.Context(), func(log []dhcpd.Entry) bool {
		for _, e := range log {
			if e.Sent || e.Type != dhcpv4.MessageTypeRequest || !e.CIAddr.IsValid() {
				continue
			}
			if _, ok := found[e.CIAddr]; !ok && slices.Contains(addrs, e.CIAddr) {
				found[e.CIAddr] = e
			}
		}
		return len(found) == len(addrs)
	})
	if err != nil {
		t.Fatalf("%d of %d renewed: %v", len(found), len(addrs), err)
	}
	return found
}
