package vlan_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/lab/ether"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// place is where a sample of conf/ works just as it stands.
type place struct {
	node lab.NodeOptions
	// provider: VLAN 20 is within the provider's VLAN 100.
	provider bool
}

func places() map[string]place {
	filters := place{node: lab.NodeOptions{Bridge: "lan0", Filtering: true}}
	return map[string]place{
		"90-vlan-subinterface.conflist": {},
		"91-vlan-filtering.conflist":    filters,
		"92-vlan-per-pod.conflist":      {},
		"93-vlan-trunk.conflist":        filters,
		"94-vlan-qinq.conflist":         {provider: true},
	}
}

func TestEverySampleForVLANsWorksAsItStands(t *testing.T) {
	t.Parallel()
	rtnltest.NeedVLAN(t)
	root, err := lab.ModuleRoot()
	must(t, err)
	files, err := filepath.Glob(filepath.Join(root, "conf", "9*.conflist"))
	if err != nil || len(files) == 0 {
		t.Fatalf("samples: %v, %v", files, err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			where, ok := places()[name]
			if !ok {
				t.Fatal("there is no place to try it in; add one to places")
			}
			trySample(t, file, where)
		})
	}
}

func trySample(t *testing.T, file string, where place) {
	t.Helper()
	l := newLab(t, lab.Options{Provider: where.provider, Server: lab.None})
	vid, opts := uint16(20), lab.VLANOptions{}
	tags := tagsOf(20)
	if where.provider {
		vid, opts.Inner = 100, 20
		tags = []ether.Tag{{TPID: ether.Dot1AD, VID: 100}, {TPID: ether.Dot1Q, VID: 20}}
	}
	v := l.VLAN(vid, opts)
	host, node := v.Host("client"), l.Node("n1", where.node)
	node.Trunk(vid)
	node.StartPodland()
	before := node.Snapshot()
	onTrunk := l.Switch().Capture(node.SwitchPort, nil)
	raw, err := os.ReadFile(file)
	must(t, err)
	conf, pod := node.Conf(raw), node.Pod("p1")
	result := attach(t, node, conf, pod)
	awaitLease(t, v.Server(), address(t, result), podMAC(t, result))
	reaches(t, host.Netns, address(t, result))
	f, err := onTrunk.AwaitFrame(t.Context(), from(podMAC(t, result)))
	if err == nil {
		err = wears(f, tags...)
	}
	if err != nil {
		t.Error(err)
	}
	must(t, node.Check(t.Context(), conf, pod))
	detach(t, node, conf, pod)
	awaitRelease(t, v.Server(), podMAC(t, result))
	asBefore(t, node, before)
}
