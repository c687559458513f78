package lab_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
)

// A lab leaves nothing: no link, mount, folder, child or descriptor.
func TestLeavesNothing(t *testing.T) {
	before := machine(t)
	var dir string
	t.Run("lab", func(t *testing.T) {
		l := lab.New(t, lab.Options{Server: lab.Dnsmasq, Named: true, Name: fmt.Sprintf("labtest%d", os.Getpid())})
		dir = l.Dir()
		n := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
		p := n.Pod("p1")
		if _, err := p.BoundPath(); err != nil {
			t.Fatal(err)
		}
		l.Host("h").Capture("eth0", nil)
		startFakePodland(t, n)
	})
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("folder %s is left: %v", dir, err)
	}
	if diff := machine(t).diff(before); diff != "" {
		t.Errorf("left on the machine: %s", diff)
	}
}

// machineState is what a lab could leave behind.
type machineState map[string]bool

func machine(t *testing.T) machineState {
	t.Helper()
	s := machineState{}
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		s["link "+l.Name] = true
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for m := range strings.Lines(string(mounts)) {
		s["mount "+m] = true
	}
	for _, program := range []string{"dnsmasq", "lab.test"} {
		pid, err := lab.Child(os.Getpid(), program)
		if err != nil {
			t.Fatal(err)
		}
		s[fmt.Sprintf("child %s %d", program, pid)] = true
	}
	return s
}

func (s machineState) diff(before machineState) string {
	var left []string
	for what := range s {
		if !before[what] {
			left = append(left, what)
		}
	}
	slices.Sort(left)
	return strings.Join(left, "\n")
}

// Two labs with the same addresses and names do not hear one another.
func TestSideBySide(t *testing.T) {
	a, b := lab.New(t, lab.Options{}), lab.New(t, lab.Options{})
	ha, hb := a.Host("h"), b.Host("h")
	if ha.Addr != hb.Addr {
		t.Fatalf("addresses %s and %s: the test wants them equal", ha.Addr, hb.Addr)
	}
	if _, err := ha.DHCPClient("eth0", net.HardwareAddr{2, 0, 0, 0, 0, 1}, nil).Lease(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.Server().AwaitLeases(1)
	if log := b.Server().Embedded().Log(); len(log) != 0 {
		t.Errorf("the other lab's server saw %v", log)
	}
}

// Hosts, nodes and Pods reach one another as described.
func TestReach(t *testing.T) {
	l := lab.New(t, lab.Options{})
	h := l.Host("h")
	bridged := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	plain := l.Node("n2", lab.NodeOptions{})
	for _, n := range []*lab.Node{bridged, plain} {
		if err := h.Ping(within(t), n.Addr.Addr()); err != nil {
			t.Error(err)
		}
		if _, err := h.ARP(within(t), "eth0", n.Addr.Addr()); err != nil {
			t.Error(err)
		}
	}
	ln, err := bridged.Listen(t.Context(), "tcp", bridged.Addr.Addr().String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := h.Dial(within(t), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := h.Ping(short, netip.MustParseAddr("198.18.0.250")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ping of nobody: %v", err)
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// A spanning tree port does not forward at once, and does in the end.
func TestSTP(t *testing.T) {
	l := lab.New(t, lab.Options{})
	n := l.Node("n1", lab.NodeOptions{Bridge: "lan0", STP: true, ForwardDelay: 2 * time.Second})
	seen := n.Capture("eth1", func(f ether.Frame) bool { return f.Outgoing && f.EtherType < 1536 })
	// A bridge that runs the protocol sends BPDUs, which are LLC frames.
	if _, err := seen.AwaitFrame(t.Context(), func(ether.Frame) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if err := l.Host("h").Ping(within(t), n.Addr.Addr()); err != nil {
		t.Error(err)
	}
}

// A capture has the frames that its filter wants, with their direction.
func TestCapture(t *testing.T) {
	l := lab.New(t, lab.Options{})
	h, n := l.Host("h"), l.Node("n1", lab.NodeOptions{})
	seen := n.Capture("eth1", func(f ether.Frame) bool { _, ok := f.ARP(); return ok })
	if _, err := h.ARP(within(t), "eth0", n.Addr.Addr()); err != nil {
		t.Fatal(err)
	}
	answer, err := seen.AwaitFrame(within(t), func(f ether.Frame) bool {
		a, _ := f.ARP()
		return f.Outgoing && a.Op == ether.ARPReply
	})
	if err != nil {
		t.Fatal(err)
	}
	if a, _ := answer.ARP(); a.SenderIP != n.Addr.Addr() {
		t.Errorf("answer %s, want one for %s", answer, n.Addr.Addr())
	}
	if all := seen.All(); len(all) < 2 {
		t.Errorf("%d frames, want the question and the answer", len(all))
	}
}

// A snapshot shows what has been changed, and nothing else.
func TestSnapshot(t *testing.T) {
	l := lab.New(t, lab.Options{})
	n := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	before := n.Snapshot()
	if diff := before.Diff(n.Snapshot()); diff != "" {
		t.Errorf("nothing was done, yet:\n%s", diff)
	}
	extra := netip.MustParsePrefix("198.18.0.77/32")
	if err := n.AddAddress("lan0", extra); err != nil {
		t.Fatal(err)
	}
	if diff := before.Diff(n.Snapshot()); !strings.Contains(diff, extra.String()) {
		t.Errorf("the address does not show:\n%s", diff)
	}
	if err := n.DelAddress("lan0", extra); err != nil {
		t.Fatal(err)
	}
	if diff := before.Diff(n.Snapshot()); diff != "" {
		t.Errorf("it was undone, yet:\n%s", diff)
	}
}

// A closed Pod's path is gone, and does not lead to the next one.
func TestPodGone(t *testing.T) {
	l := lab.New(t, lab.Options{Server: lab.None})
	n := l.Node("n1", lab.NodeOptions{})
	p := n.Pod("p1")
	if _, err := os.Stat(p.Path()); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if next := n.Pod("p2"); next.Path() == p.Path() {
		t.Errorf("both Pods are at %s", p.Path())
	}
	if _, err := os.Stat(p.Path()); !os.IsNotExist(err) {
		t.Errorf("the path still leads somewhere: %v", err)
	}
}

// Run reports what failed and takes the lab down.
func TestRun(t *testing.T) {
	var dir string
	err := lab.Run(t.Context(), t.Logf, lab.Options{}, func(l *lab.Lab) error {
		dir = l.Dir()
		l.Host("h")
		l.Host("h") // its name is taken
		t.Error("a failed step does not end the body")
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), `"h"`) {
		t.Errorf("got %v, want the failed step", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("folder %s is left: %v", dir, err)
	}
}
