package segment

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// killed runs fn with a maker that ends at its nth step as a process does that
// is killed: nothing after it is done. It returns the step's name, "" if fn came
// to its end.
func killed(n *rtnltest.Netns, nth int, fn func(m maker)) (at string) {
	m := newMaker(n.Handle)
	m.step = func(name string) {
		if nth--; nth == 0 {
			at = name
			runtime.Goexit()
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn(m)
	}()
	<-done
	return at
}

// collect is GC without any record.
func collect(ctx context.Context, n *rtnltest.Netns) error {
	pieces, err := Made(n.Handle)
	for _, p := range pieces {
		_, lockErr := Locks(n.Handle, p.Bridge, p.Uplink)
		err = errors.Join(err, lockErr, Release(ctx, n.Handle, p.Bridge, p.Uplink))
	}
	return err
}

// situations are segments that take all the steps there are.
func situations() map[string]struct {
	prepare func(*testing.T, *rtnltest.Netns)
	spec    Spec
	gateway bool
} {
	type situation = struct {
		prepare func(*testing.T, *rtnltest.Netns)
		spec    Spec
		gateway bool
	}
	twoTags := vlanSpec(20, netconf.ModeSubinterface)
	twoTags.OuterVLAN = 100
	down := func(t *testing.T, n *rtnltest.Netns) {
		t.Helper()
		must(t, n.SetDown(n.Must(t, "nic0").Attrs().Index))
	}
	return map[string]situation{
		"a plain bridge":         {nil, Spec{Bridge: "lan0", Uplink: "nic0"}, false},
		"two tags, the NIC down": {down, twoTags, false},
		"a new filtering bridge": {nil, vlanSpec(20, netconf.ModeFiltering), true},
		"a filtering bridge of others": {
			func(t *testing.T, n *rtnltest.Netns) { t.Helper(); filteringBridge(t, n, "lan0", "nic0") },
			vlanSpec(20, netconf.ModeFiltering), true,
		},
	}
}

// attachedOnce is what an ADD does to the segment, and the last DEL.
type attachedOnce struct {
	place Place
	grant Grant
	spec  Spec
	addr  *net.IPNet // the gateway's, if there is one
}

func (a attachedOnce) add(m maker) error {
	seg, err := m.ensure(a.spec, a.place)
	if err == nil {
		err = m.give(a.place, a.grant)
	}
	if err == nil && a.addr != nil {
		_, err = m.gateway(seg, a.addr, false)
	}
	return err
}

func (a attachedOnce) del(m maker) error {
	return errors.Join(m.takeBack(a.place.Bridge, a.place.Uplink, a.grant), m.release(a.place.Bridge, a.place.Uplink))
}

func TestWhereverAPluginIsKilledWhatComesNextCleansUp(t *testing.T) {
	for name, s := range situations() {
		t.Run(name, func(t *testing.T) {
			if s.spec.VLAN != 0 {
				rtnltest.NeedVLAN(t)
			}
			n := newNode(t)
			if s.prepare != nil {
				s.prepare(t, n)
			}
			before := everything(t, n)
			place, err := Resolve(t.Context(), n.Handle, s.spec)
			must(t, err)
			grant, err := Missing(n.Handle, place)
			must(t, err)
			a := attachedOnce{place: place, grant: grant, spec: s.spec}
			if s.gateway {
				a.addr = ipNet(t, "198.18.0.1/16")
			}
			a.everyStep(t, n)
			after := everything(t, n)
			for _, all := range []map[string]full{before, after} {
				nic := all["nic0"] // one that was down is left up
				nic.State.Flags, nic.Routes = 0, nil
				all["nic0"] = nic
			}
			unchanged(t, before, after)
		})
	}
}

func (a attachedOnce) everyStep(t *testing.T, n *rtnltest.Netns) {
	t.Helper()
	before := outline(t, n)
	whole := newMaker(n.Handle)
	ways := map[string]func() error{
		"the record's DEL": func() error { return a.del(whole) },
		"the next ADD":     func() error { return errors.Join(a.add(whole), a.isWhole(t, n), a.del(whole)) },
	}
	var steps []string
	for nth := 1; ; nth++ {
		at := ""
		for way, clean := range ways {
			if at = killed(n, nth, func(m maker) { _ = a.add(m) }); at == "" {
				break
			}
			if err := clean(); err != nil {
				t.Errorf("killed at %s, then %s: %v", at, way, err)
			}
			// What no record leads to is GC's.
			must(t, collect(t.Context(), n))
			sameOutline(t, before, outline(t, n), fmt.Sprintf("killed at %s, then %s", at, way))
		}
		if at == "" {
			break
		}
		steps = append(steps, at)
	}
	for nth := 1; ; nth++ {
		must(t, a.add(whole))
		at := killed(n, nth, func(m maker) { _ = a.del(m) })
		if at != "" {
			must(t, a.del(whole))
			must(t, collect(t.Context(), n))
		}
		sameOutline(t, before, outline(t, n), "DEL killed at "+at)
		if at == "" {
			break
		}
		steps = append(steps, at)
	}
	if !slices.Contains(steps, "segment.bridge.named") && !slices.Contains(steps, "segment.grant.uplink") {
		t.Errorf("the steps were %v", steps)
	}
}

// outline is what can be told of all links by one dump, and the VLAN tables; of
// a NIC it leaves out that it was down.
func outline(t *testing.T, n *rtnltest.Netns) map[string]string {
	t.Helper()
	links, err := n.Links()
	must(t, err)
	all := map[string]string{}
	for _, l := range links {
		a := l.Attrs()
		vlans, err := n.VLANs(a.Index)
		if !errors.Is(err, rtnl.ErrNoPort) {
			must(t, err)
		}
		all[a.Name] = fmt.Sprint(a.Index, l.Type(), a.HardwareAddr, a.MTU, a.MasterIndex, a.Alias, a.Promisc, vlans)
	}
	return all
}

func sameOutline(t *testing.T, before, after map[string]string, when string) {
	t.Helper()
	if diff := cmp.Diff(before, after); diff != "" {
		t.Fatalf("%s: the node is not as it was (-before +after):\n%s", when, diff)
	}
}

func (a attachedOnce) isWhole(t *testing.T, n *rtnltest.Netns) error {
	t.Helper()
	bridge, err := n.Link(a.place.Bridge)
	if err != nil {
		return err
	}
	uplink, err := n.Link(a.place.Uplink)
	if err != nil {
		return err
	}
	if uplink.Attrs().MasterIndex != bridge.Attrs().Index {
		return fmt.Errorf("uplink %+v, bridge %+v", uplink.Attrs(), bridge.Attrs())
	}
	n.AwaitCarrier(t, a.place.Bridge)
	missing, err := Missing(n.Handle, a.place)
	if err == nil && len(missing.Bridge)+len(missing.Uplink) > 0 {
		err = fmt.Errorf("missing %+v", missing)
	}
	return err
}

func TestGCFindsWhatNoRecordNames(t *testing.T) {
	for name, s := range situations() {
		t.Run(name, func(t *testing.T) {
			n := vlanNode(t)
			if s.prepare != nil {
				s.prepare(t, n)
			}
			s.spec.Uplink = vlanUplink(t, n, s.spec)
			before := outline(t, n)
			for nth := 1; ; nth++ {
				place, err := Resolve(t.Context(), n.Handle, s.spec)
				must(t, err)
				at := killed(n, nth, func(m maker) { _, _ = m.ensure(s.spec, place) })
				must(t, collect(t.Context(), n))
				sameOutline(t, before, outline(t, n), "killed at "+at)
				if at == "" {
					break
				}
			}
		})
	}
}

// vlanUplink puts a VLAN device in a plain bridge's or filtering bridge's NIC's
// stead: in a lab nobody can tell a veth that is an uplink from a guest's.
func vlanUplink(t *testing.T, n *rtnltest.Netns, spec Spec) string {
	t.Helper()
	if spec.Mode == netconf.ModeSubinterface {
		return spec.Uplink
	}
	vlanDevice(t, n, "nic1", "nic0", 2, 0)
	if link, err := n.Link("lan0"); err == nil {
		must(t, n.SetNoMaster(n.Must(t, "nic0").Attrs().Index))
		must(t, n.SetMaster(n.Must(t, "nic1").Attrs().Index, link.Attrs().Index))
	}
	return "nic1"
}
