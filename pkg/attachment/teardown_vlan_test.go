package attachment_test

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/rtnl"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
	"github.com/podlan/podlan/pkg/segment"
)

// newFilteringNode has the administrator's bridge lan0 with the uplink nic0,
// which carries VLAN 30.
func newFilteringNode(t *testing.T) node {
	t.Helper()
	rtnltest.NeedVLAN(t)
	n := newNode(t)
	on := true
	bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), VlanFiltering: &on}
	bridge.Name = "lan0"
	must(t, n.Add(bridge))
	nic := n.Cable(t, "nic0", rtnltest.New(t), "port0")
	must(t, n.SetMaster(nic, n.Up(t, "lan0")))
	must(t, n.AddVLAN(nic, rtnl.VLANRange{First: 30, Last: 30}, rtnl.VLANFlags{}, false))
	return n
}

// begin does what an ADD does of the segment.
func (n node) begin(t *testing.T, id string, spec segment.Spec) (attachment.Record, error) {
	t.Helper()
	place, unlock, err := n.Store.LockPlace(t.Context(), n.Links, spec)
	if err != nil {
		return attachment.Record{}, err
	}
	defer unlock()
	missing, err := segment.Missing(n.Links, place)
	if err != nil {
		return attachment.Record{}, err
	}
	key := attachment.Key{Network: "lan", ContainerID: id, IfName: "eth0"}
	rec, err := attachment.Record{Key: key, State: attachment.Intent, HostEnd: attachment.HostEnd(key, true)}.At(place).Stamped(time.Minute)
	if err != nil {
		return rec, err
	}
	rec = n.Store.Claim(rec, missing)
	if err := n.Store.Put(rec); err != nil {
		return rec, err
	}
	if _, err := segment.Ensure(t.Context(), n.Links, spec, place); err != nil {
		return rec, err
	}
	return rec, segment.Give(n.Links, place, missing)
}

func filteringSpec(vlan uint16) segment.Spec {
	return segment.Spec{Bridge: "lan0", Uplink: "nic0", VLANs: netconf.VLANs{VLAN: vlan}}
}

// state is all that a segment may change of a node: its links and their VLANs.
func (n node) state(t *testing.T) map[string][]rtnl.VLAN {
	t.Helper()
	links, err := n.Links.Links()
	must(t, err)
	state := map[string][]rtnl.VLAN{}
	for _, link := range links {
		vlans, err := n.VLANs(link.Attrs().Index)
		if err != nil && !errors.Is(err, rtnl.ErrNoPort) {
			t.Fatal(err)
		}
		state[link.Attrs().Name] = vlans
	}
	return state
}

func TestTheLastInAVLANTakesItBack(t *testing.T) {
	n := newFilteringNode(t)
	before := n.state(t)
	attach := func(id string, vlan uint16) attachment.Record {
		rec, err := n.begin(t, id, filteringSpec(vlan))
		must(t, err)
		return rec
	}
	first, other := attach("c1", 20), attach("c2", 30)
	with20 := n.state(t)
	if cmp.Equal(before, with20) {
		t.Fatal("nothing was granted")
	}
	second := attach("c3", 20)
	must(t, n.Remove(t.Context(), first))
	if diff := cmp.Diff(with20, n.state(t)); diff != "" {
		t.Errorf("the first of two has ended (-before +after):\n%s", diff)
	}
	must(t, n.Remove(t.Context(), second))
	must(t, n.Remove(t.Context(), other))
	if diff := cmp.Diff(before, n.state(t)); diff != "" {
		t.Errorf("the last has ended (-before +after):\n%s", diff)
	}
}

// What an earlier boot granted went with its kernel: what stands now is the
// administrator's.
func TestAnEarlierBootsGrantIsNotTakenBack(t *testing.T) {
	n := newFilteringNode(t)
	rec, err := n.begin(t, "c1", filteringSpec(20))
	must(t, err)
	before := n.state(t)
	rec.BootID = "another"
	must(t, n.Remove(t.Context(), rec))
	if diff := cmp.Diff(before, n.state(t)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

func TestSegmentsMadeAndLetGoAtOnceLeaveNothing(t *testing.T) {
	modes := map[string]func(vlan uint16) segment.Spec{
		"filtering": filteringSpec,
		"filtering, Podlan's bridge": func(vlan uint16) segment.Spec {
			spec := filteringSpec(vlan)
			spec.Bridge, spec.Uplink, spec.Mode = "own0", "nic1", netconf.ModeFiltering
			return spec
		},
		"sub-interfaces": func(vlan uint16) segment.Spec {
			spec := filteringSpec(vlan)
			spec.Bridge, spec.Uplink, spec.Mode = "own0", "nic1", netconf.ModeSubinterface
			return spec
		},
		"two tags": func(vlan uint16) segment.Spec {
			spec := filteringSpec(vlan)
			spec.Bridge, spec.Uplink, spec.Mode, spec.OuterVLAN = "own0", "nic1", netconf.ModeSubinterface, 100
			return spec
		},
	}
	for name, spec := range modes {
		t.Run(name, func(t *testing.T) {
			n := newFilteringNode(t)
			n.Cable(t, "nic1", rtnltest.New(t), "port1")
			before := n.state(t)
			var all sync.WaitGroup
			for i := range 16 {
				all.Go(func() {
					for round := range 2 {
						rec, err := n.begin(t, fmt.Sprintf("c%d-%d", i, round), spec(uint16(20+10*(i%4))))
						if err := errors.Join(err, n.Remove(t.Context(), rec)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			all.Wait()
			if diff := cmp.Diff(before, n.state(t)); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
		})
	}
}

func TestWhatNoRecordSpeaksOfIsLetGo(t *testing.T) {
	n := newNode(t)
	before := n.state(t)
	for _, bridge := range []string{"pods0", "pods1"} {
		_, err := segment.Ensure(t.Context(), n.Links, segment.Spec{Bridge: bridge}, segment.Place{Bridge: bridge})
		must(t, err)
	}
	n.Bridge(t, "podlan-t0123ab") // of an ADD that was killed
	rec, err := n.begin(t, "c1", segment.Spec{Bridge: "pods1"})
	must(t, err)
	must(t, n.RemoveOrphans(t.Context()))
	want := maps.Clone(before)
	want["pods1"] = n.state(t)["pods1"]
	if diff := cmp.Diff(want, n.state(t)); diff != "" {
		t.Errorf("beside the record (-want +got):\n%s", diff)
	}
	must(t, n.Remove(t.Context(), rec))
	if diff := cmp.Diff(before, n.state(t)); diff != "" {
		t.Errorf("at the end (-want +got):\n%s", diff)
	}
}
