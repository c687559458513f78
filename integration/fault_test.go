package integration_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/dhcpd"
	"github.com/podlan/podlan/integration/lab"
)

const (
	// faultLabs is how many labs faults are tried in at once: they mostly wait
	// for a renewal.
	faultLabs = 8
	// deathsEach and errorsEach are how many passings of a point are tried: it
	// is passed again and again by the same verbs.
	deathsEach, errorsEach = 4, 2
)

// Every fault point, found by a run without faults, is where podland dies once,
// or has a system call fail; see pkg/fault.
func TestWhereverPodlandDiesNoLeaseIsLostDoubledOrLeft(t *testing.T) {
	t.Parallel()
	trace := filepath.Join(t.TempDir(), "trace")
	untouched := liveWith(t, "PODLAN_FAULT_TRACE="+trace)
	if untouched.deaths > 0 {
		t.Fatal("podland died without a fault")
	}
	faults := faultsOf(t, trace)
	for _, point := range []string{"api.acquire.read", "api.release.done", "api.gc.before", "lease.stored", "tombstone.settle.released", "statefile.put.rename"} {
		if !strings.Contains(strings.Join(faults, " "), point) {
			t.Errorf("%s was not passed: the run does too little", point)
		}
	}
	next := make(chan string)
	var labs sync.WaitGroup
	for range faultLabs {
		labs.Go(func() {
			for fault := range next {
				t.Run(fault, func(t *testing.T) {
					n := liveWith(t, "PODLAN_FAULT="+fault)
					if strings.HasSuffix(fault, ":1") && n.deaths != 1 {
						t.Errorf("podland died %d times, want once", n.deaths)
					}
				})
			}
		})
	}
	for _, fault := range faults {
		next <- fault
	}
	close(next)
	labs.Wait()
}

// faultsOf makes deaths and errors of the points in a trace.
func faultsOf(t *testing.T, trace string) []string {
	t.Helper()
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	var faults []string
	passed := map[string]int{}
	for line := range strings.Lines(string(text)) {
		kind, point, _ := strings.Cut(strings.TrimSpace(line), " ")
		passed[point]++
		if passed[point] <= deathsEach {
			faults = append(faults, fmt.Sprintf("%s:%d", point, passed[point]))
		}
		if kind == "error" && passed[point] <= errorsEach {
			faults = append(faults, fmt.Sprintf("%s:%d:EIO", point, passed[point]))
		}
	}
	return faults
}

// liveWith leads a node through all that podland does, with the faults set from
// its second start on, and through what a runtime does where podland fails it.
func liveWith(t *testing.T, faults string) *faultyNode {
	t.Helper()
	n := newFaultyNode(t)
	n.start()
	buried, adopted := n.add("buried"), n.add("adopted")
	n.kill()
	detach(t, n.node, n.conf, buried.Pod, buried.at) // leaves a tombstone
	n.faults = faults
	n.start()
	n.revive()
	n.owns(adopted)

	first := n.add("first")
	n.awaitRenewal(first)
	second := n.addAs("second", first.uid) // a retried sandbox
	n.del(first)
	n.owns(second)
	if second.addr != first.addr {
		t.Errorf("the retried sandbox has %s, the first had %s", second.addr, first.addr)
	}
	collected := n.add("collected")
	n.collect(collected, second, adopted)
	n.owns(second)
	n.owns(adopted)
	n.del(second)
	n.del(adopted)
	n.nothingLeft()
	return n
}

// renewSoon has what is granted anew be renewed after a second, and then as
// usual.
func renewSoon() dhcpd.Script {
	soon := dhcpd.Alter(func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptRenewTimeValue(time.Second)) })
	return func(req dhcpd.Request) ([]dhcpd.Reply, bool) {
		if req.Type != dhcpv4.MessageTypeRequest || req.CIAddr.IsValid() {
			return nil, false
		}
		return soon(req)
	}
}

// sandbox is a Pod's attachment.
type sandbox struct {
	*lab.Pod
	uid  string
	at   lab.Attachment
	mac  string
	addr netip.Addr
}

func (n *faultyNode) add(name string) sandbox { return n.addAs(name, name) }

// addAs attaches the Pod with that UID. What a runtime does if an ADD fails: a
// DEL, and then a new sandbox of the same Pod.
func (n *faultyNode) addAs(name, uid string) sandbox {
	n.t.Helper()
	var err error
	for try := range 3 {
		s := sandbox{Pod: n.node.Pod(fmt.Sprintf("%s-%d", name, try)), uid: uid}
		s.at = lab.Attachment{Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_UID", uid}}}
		var result types.Result
		if result, err = n.node.Add(n.t.Context(), n.conf, s.Pod, s.at); err != nil {
			n.excuse("ADD of "+name, err)
			n.del(s)
			continue
		}
		r := lab.Result(n.t, result)
		s.addr, s.mac = address(n.t, r), r.Interfaces[2].Mac
		n.owns(s)
		return s
	}
	n.t.Fatalf("ADD of %s fails again and again: %v", name, err)
	return sandbox{}
}

// del must succeed whatever befalls podland.
func (n *faultyNode) del(s sandbox) {
	n.t.Helper()
	detach(n.t, n.node, n.conf, s.Pod, s.at)
	n.revive()
}

// collect has a GC take the attachment that libcni knows nothing of.
func (n *faultyNode) collect(lost sandbox, valid ...sandbox) {
	n.t.Helper()
	cached, err := filepath.Glob(filepath.Join(n.node.Dir(), "cni-cache", "results", "*"+lost.ContainerID+"*"))
	if err != nil || len(cached) != 1 {
		n.t.Fatalf("libcni's results of %s: %v, %v", lost.ContainerID, cached, err)
	}
	if err := os.Remove(cached[0]); err != nil {
		n.t.Fatal(err)
	}
	var keep []types.GCAttachment
	for _, s := range valid {
		keep = append(keep, types.GCAttachment{ContainerID: s.ContainerID, IfName: "eth0"})
	}
	for err = n.node.GC(n.t.Context(), n.conf, keep...); err != nil; err = n.node.GC(n.t.Context(), n.conf, keep...) {
		n.excuse("GC", err)
	}
	n.revive()
}

func (n *faultyNode) awaitRenewal(s sandbox) {
	n.t.Helper()
	lab.Eventually(n.t, "the renewal of "+s.addr.String(), func() error {
		n.revive()
		for _, e := range n.server.Received(dhcpv4.MessageTypeRequest) {
			if e.CIAddr == s.addr {
				return nil
			}
		}
		return fmt.Errorf("not seen by the server")
	})
}
