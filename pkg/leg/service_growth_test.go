package leg

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

func legs(all ...Leg) Legs { return func() ([]Leg, error) { return all, nil } }

// unasked are others that nobody may ask for: it is a read of all records.
func unasked() ([]Leg, error) { return nil, errors.New("the others are asked for") }

func numbered(i int) Leg {
	return legOf(fmt.Sprintf("vethpl%09d", i), netip.AddrFrom4([4]byte{198, 18, byte(2 + i/250), byte(1 + i%250)}).String())
}

// joined adds a leg and returns how many elements were read and messages sent.
func (r rules) joined(t *testing.T, l Leg) cost {
	t.Helper()
	return r.costs(t, func(tab *table) (bool, error) { return tab.join(l) })
}

// cost is how many elements were read and messages sent.
type cost struct {
	read int
	sent uint64
}

// costs returns what it costs to do what takes the elements of one leg only.
func (r rules) costs(t *testing.T, do func(*table) (done bool, err error)) (c cost) {
	t.Helper()
	must(t, r.session(t.Context(), func(tab *table) error {
		done, err := do(tab)
		if !done {
			t.Error("it takes more than the elements of one leg")
		}
		c = cost{tab.heard, tab.conn.Messages()}
		return err
	}))
	return c
}

func TestPod300ReadsAndSendsAsMuchAsPod2(t *testing.T) {
	r := rules{rtnltest.New(t).Handle}
	must(t, r.add(t.Context(), numbered(1), legs())) // with it comes the table
	second := r.joined(t, numbered(2))
	all := []Leg{numbered(1), numbered(2)}
	for i := 3; i < 300; i++ {
		all = append(all, numbered(i))
	}
	must(t, r.restore(t.Context(), all))
	if last := r.joined(t, numbered(300)); last != second || last.read == 0 || last.sent == 0 {
		t.Errorf("Pod 2 %+v, Pod 300 %+v", second, last)
	}
	r.intactly(t, true, append(all, numbered(300))...)
	// The table, its rules, the address in two sets, and the networks.
	if again := r.joined(t, numbered(300)); again.sent != 5 {
		t.Errorf("a leg that stands: %d messages, want five questions", again.sent)
	}
}

func TestToCheckAndToRemovePod300CostsAsMuchAsPod2(t *testing.T) {
	r := rules{rtnltest.New(t).Handle}
	check := func(l Leg) cost {
		return r.costs(t, func(tab *table) (bool, error) { return tab.intact([]Leg{l}) })
	}
	leave := func(l Leg, others []Leg) cost {
		return r.costs(t, func(tab *table) (bool, error) { return tab.leave(l, others) })
	}
	all := []Leg{numbered(1), numbered(2)}
	must(t, r.restore(t.Context(), all))
	checked, left := check(all[1]), leave(all[1], all[:1])
	r.intactly(t, true, all[0])
	for i := 3; i <= 300; i++ {
		all = append(all, numbered(i))
	}
	must(t, r.restore(t.Context(), all))
	if c := check(all[299]); c != checked || c.read == 0 {
		t.Errorf("to check Pod 2 %+v, Pod 300 %+v", checked, c)
	}
	if c := leave(all[299], all[:299]); c != left || c.read == 0 {
		t.Errorf("to remove Pod 2 %+v, Pod 300 %+v", left, c)
	}
	r.intactly(t, true, all[:299]...)
	r.intactly(t, false, all[299])
}

// Its networks are nobody's any more, and need another table.
func TestALegThatLeavesTakesItsOwnNetworksAlong(t *testing.T) {
	r := rules{rtnltest.New(t).Handle}
	a, b := numbered(1), numbered(2)
	b.Service.CIDRs = []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")}
	must(t, r.restore(t.Context(), []Leg{a, b}))
	must(t, r.remove(t.Context(), b, []Leg{a}))
	one := set{"198.18.2.2": a.Port + " " + nodeIP}
	r.holds(t, one, one, "10.96.0.0/12", nodeIP+"/32")
}

func TestOthersAreAskedForOnlyWhereOneMatters(t *testing.T) {
	n := rtnltest.New(t)
	n.Bridge(t, "lan0")
	n.Bridge(t, "lan1")
	n.Address(t, "lan1", nodeIP+"/32")
	node, r := NewNode(n.Handle, t.TempDir()), rules{n.Handle}
	a, b, c := numbered(1), numbered(2), numbered(3)
	for _, l := range []*Leg{&a, &b, &c} {
		l.MAC = []byte{2, 0, 0, 0, 0, 1}
	}
	must(t, node.Add(t.Context(), a, legs()))
	must(t, node.Add(t.Context(), b, unasked))

	c.Addrs = b.Addrs
	if err := node.Add(t.Context(), c, unasked); err == nil {
		t.Error("another Pod's address passes")
	}
	must(t, r.remove(t.Context(), b, []Leg{a})) // somebody has flushed the element
	if err := node.Add(t.Context(), c, unasked); err == nil {
		t.Error("another Pod's route passes")
	}
	c.Addrs = numbered(3).Addrs
	c.Service.CIDRs = []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")}
	if err := node.Add(t.Context(), c, unasked); err == nil {
		t.Error("a network that the table lacks is put without the others'")
	}
	must(t, node.Add(t.Context(), c, legs(a, b)))
	r.intactly(t, true, a, b, c)
}

// What another Pod has without a route, beside the node on a bridge, is its own.
func TestAnAddressBesideTheNodeIsRefusedOnAnotherDevice(t *testing.T) {
	n := rtnltest.New(t)
	n.Bridge(t, "lan0")
	n.Bridge(t, "lan1")
	n.Address(t, "lan0", nodeIP+"/16")
	node := NewNode(n.Handle, t.TempDir())
	a, b := numbered(1), numbered(2)
	must(t, node.Add(t.Context(), a, legs()))
	b.Addrs, b.MAC, b.Device, b.Bridge = a.Addrs, []byte{2, 0, 0, 0, 0, 2}, "lan1", "lan1"
	err := node.Add(t.Context(), b, legs(a))
	if refusal, ok := errors.AsType[*types.Error](err); !ok || refusal.Code != uint(leaseapi.CodeConfig) {
		t.Errorf("got %v, want code %d", err, leaseapi.CodeConfig)
	}
}
