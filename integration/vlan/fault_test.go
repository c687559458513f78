package vlan_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// faultyBin is a folder of programs in which podlan-bridge has fault points: it
// dies where PODLAN_FAULT says (pkg/fault).
func faultyBin(t *testing.T) string {
	t.Helper()
	root, err := lab.ModuleRoot()
	must(t, err)
	bin := t.TempDir()
	for name, from := range map[string]string{
		"podlan-bridge": "fault/podlan-bridge", "podlan-dhcp": "podlan-dhcp", "podland": "podland",
	} {
		path := filepath.Join(root, "bin", from)
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("%v; it is built by `make build faulty`", err)
		}
		must(t, os.Symlink(path, filepath.Join(bin, name)))
	}
	return bin
}

// faultSite is a site whose podlan-bridge can be told to die.
func faultSite(t *testing.T, m mode) *site {
	t.Helper()
	l := newLab(t, lab.Options{Server: lab.None, Bin: faultyBin(t)})
	s := &site{Lab: l, mode: m, node: l.Node("n1", m.node()), hosts: map[uint16]*lab.Host{}}
	s.hosts[10] = l.VLAN(10, lab.VLANOptions{Options: lab.Options{Server: lab.None}}).Host("host10")
	s.node.Trunk(10)
	return s
}

// makings are how a node comes to a segment, of each mode the one with most steps.
func makings() map[string]struct {
	mode mode
	keys object
} {
	type making = struct {
		mode mode
		keys object
	}
	return map[string]making{
		"QinQ":                 {subinterface, object{"uplink": "eth1", "vlan": 10, "outerVlan": 100}},
		"filtering":            {filtering, object{"uplink": "eth1", "vlan": 10, "vlanTrunk": []object{{"id": 20}}}},
		"a bridge and gateway": {subinterface, object{"bridge": "own0", "uplink": "spare0", "vlan": 10, "vlanMode": "filtering", "isGateway": true}},
	}
}

func TestWhereverPodlanBridgeDiesInMakingASegmentTheNextADDOrGCEndsClean(t *testing.T) {
	t.Parallel()
	rtnltest.NeedVLAN(t)
	for name, making := range makings() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := faultSite(t, making.mode)
			must(t, s.node.AddNIC("spare0"))
			conf := network(s.node, hostLocal(), making.keys)
			before := s.node.Snapshot()
			deaths := s.deathsOf(t, conf)
			asBefore(t, s.node, before)
			for i, at := range deaths {
				s.dies(t, conf, at, i)
				if i%2 == 0 {
					s.nextADD(t, conf, i)
				}
				must(t, s.node.GC(t.Context(), conf))
				if err := s.clean(before); err != nil {
					t.Fatalf("after a death at %s (in DEL: %t): %v", at.point, at.inDEL, err)
				}
			}
		})
	}
}

// death is the passing of a step at which a plugin is killed, and in which verb.
type death struct {
	inDEL bool
	point string
}

// deathsOf are the steps of an ADD and its DEL that have to do with the segment,
// each passing of each.
func (s *site) deathsOf(t *testing.T, conf []byte) []death {
	t.Helper()
	pod := s.node.Pod("trace")
	deaths := s.trace(t, false, func() { attach(t, s.node, conf, pod) })
	if !slices.ContainsFunc(deaths, func(d death) bool { return strings.HasPrefix(d.point, "segment.") }) {
		t.Fatalf("no step of making a segment among %v", deaths)
	}
	return append(deaths, s.trace(t, true, func() { detach(t, s.node, conf, pod) })...)
}

func (s *site) trace(t *testing.T, inDEL bool, verb func()) (deaths []death) {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	s.node.AddEnv("PODLAN_FAULT_TRACE=" + trace)
	verb()
	s.node.AddEnv("PODLAN_FAULT_TRACE=")
	text, err := os.ReadFile(trace)
	must(t, err)
	passed := map[string]int{}
	for line := range strings.Lines(string(text)) {
		_, point, _ := strings.Cut(strings.TrimSpace(line), " ")
		if passed[point]++; strings.HasPrefix(point, "statefile.") && !strings.HasSuffix(point, ".done") {
			continue // within a Put the file system is tried elsewhere (../fault_test.go)
		}
		deaths = append(deaths, death{inDEL, fmt.Sprintf("%s:%d", point, passed[point])})
	}
	return deaths
}

// dies has the plugin killed. A runtime then forgets the Pod.
func (s *site) dies(t *testing.T, conf []byte, at death, i int) {
	t.Helper()
	pod := s.node.Pod(fmt.Sprintf("dies%d", i))
	verb := func() error {
		_, err := s.node.Add(t.Context(), conf, pod)
		return err
	}
	if at.inDEL {
		must(t, verb())
		verb = func() error { return s.node.Del(t.Context(), conf, pod) }
	}
	s.node.AddEnv("PODLAN_FAULT=" + at.point)
	defer s.node.AddEnv("PODLAN_FAULT=")
	if verb() == nil {
		t.Errorf("%s was not passed (in DEL: %t)", at.point, at.inDEL)
	}
}

// nextADD is another Pod's, which works whatever the dead one left.
func (s *site) nextADD(t *testing.T, conf []byte, i int) {
	t.Helper()
	pod := s.node.Pod(fmt.Sprintf("next%d", i))
	result := attach(t, s.node, conf, pod)
	if s.mode == filtering {
		isAt(t, s.hosts[10], address(t, result), podMAC(t, result))
	}
	detach(t, s.node, conf, pod)
}

// clean tells what the node has that it had not before.
func (s *site) clean(before lab.Snapshot) error {
	if err := s.node.AsBefore(before); err != nil {
		return err
	}
	files, err := s.node.StateFiles()
	// What a killed Put was writing is swept when it is an hour old.
	files = slices.DeleteFunc(files, func(path string) bool { return strings.HasPrefix(filepath.Base(path), ".") })
	if len(files) > 0 {
		err = fmt.Errorf("files %v", files)
	}
	return err
}
