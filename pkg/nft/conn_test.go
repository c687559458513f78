package nft_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/nft"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func dial(t *testing.T, n *rtnltest.Netns) *nft.Conn {
	t.Helper()
	var c *nft.Conn
	must(t, n.Do(func() (err error) {
		c, err = nft.Dial(4 << 20)
		return err
	}))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// send sends one batch.
func send(c *nft.Conn, table nft.Table, fill func(*nft.Batch)) error {
	b := nft.NewBatch(table)
	fill(b)
	return c.Send(b)
}

func table(family byte) nft.Table { return nft.Table{Family: family, Name: "test"} }

func ports() nft.Set {
	return nft.Set{Name: "ports", Key: []nftables.SetDatatype{nftables.TypeIFName, nftables.TypeMark}, Counts: true}
}

func shown() nft.Set {
	address := nftables.TypeIPAddr
	return nft.Set{Name: "shown", Key: []nftables.SetDatatype{address}, Value: &address, Order: nft.NetworkOrder}
}

func nets() nft.Set {
	return nft.Set{Name: "nets", Key: []nftables.SetDatatype{nftables.TypeIPAddr}, Order: nft.NetworkOrder, Interval: true}
}

func rates() nft.Set {
	return nft.Set{Name: "rates", Key: []nftables.SetDatatype{nftables.TypeIFName}, Order: nft.HostOrder}
}

func key(i int) string { return fmt.Sprintf("vethtest%08d\x00\x00\x00\x01", i) }

// install adds one of everything.
func install(b *nft.Batch) {
	b.DropTable()
	b.AddTable()
	b.AddCounter("count")
	for i, s := range []nft.Set{ports(), shown(), nets(), rates()} {
		b.AddSet(s, uint32(i+1))
	}
	b.AddChain(nft.Chain{Name: "called"})
	b.AddChain(nft.Chain{Name: "first", Type: nftables.ChainTypeFilter, Hook: nftables.ChainHookForward, Priority: -7})
	b.AddRule(nft.Rule{Chain: "first", Note: "one", Match: nft.Network(12, 4).Is(192, 0, 2, 1)})
	b.AddRule(nft.Rule{Chain: "first", Note: "two", Match: nft.Match{&expr.Verdict{Kind: expr.VerdictJump, Chain: "called"}}})
	b.AddRule(nft.Rule{Chain: "called", Note: "three", Match: nft.Match{&expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: "count"}}})
	b.Put("ports", []nft.Element{{Key: key(1), Note: "a note"}})
	b.Put("shown", []nft.Element{{Key: "\xc6\x12\x00\x01", Value: "\xc0\x00\x02\x01", Note: "another"}})
	b.Put("nets", []nft.Element{{Key: "\x0a\x00\x00\x00"}, {Key: "\x0b\x00\x00\x00", End: true}})
	b.Put("rates", []nft.Element{{Key: "vethtest00000001", Above: nft.Rate{PerSecond: 100, Burst: 50}}})
}

func TestWhatABatchPutsIsReadAgain(t *testing.T) {
	for name, family := range map[string]byte{"bridge": unix.NFPROTO_BRIDGE, "ip": unix.NFPROTO_IPV4, "inet": unix.NFPROTO_INET} {
		t.Run(name, func(t *testing.T) {
			c, tab := dial(t, rtnltest.New(t)), table(family)
			nothing(t, c, tab)
			for range 2 {
				must(t, send(c, tab, install))
				everything(t, c, tab)
			}
			must(t, send(c, tab, func(b *nft.Batch) { b.Take("ports", []nft.Element{{Key: key(1)}}) }))
			if _, ok, err := c.Element(tab, "ports", key(1)); ok || err != nil {
				t.Errorf("an element that was taken stands: %t, %v", ok, err)
			}
			must(t, send(c, tab, (*nft.Batch).DropTable))
			must(t, send(c, tab, (*nft.Batch).DropTable))
			nothing(t, c, tab)
		})
	}
}

func everything(t *testing.T, c *nft.Conn, tab nft.Table) {
	t.Helper()
	exists, awake, err := c.Table(tab)
	if !exists || !awake || err != nil {
		t.Errorf("the table exists: %t, awake: %t, %v", exists, awake, err)
	}
	sets, err := c.Sets(tab)
	same(t, err, []string{"ports", "shown", "nets", "rates"}, sets)
	counters, err := c.Counters(tab)
	same(t, err, map[string]uint64{"count": 0}, counters)
	ofFirst, err := c.Rules(tab, "first")
	same(t, err, []nft.StandingRule{{Chain: "first", Note: "one"}, {Chain: "first", Note: "two"}}, ofFirst)
	rules, err := c.Rules(tab, "")
	if len(rules) != 3 || err != nil {
		t.Errorf("all rules: %v, %v", rules, err)
	}
	want := map[string][]nft.Standing{
		"ports": {{Element: nft.Element{Key: key(1), Note: "a note"}, Stateful: true}},
		"shown": {{Element: nft.Element{Key: "\xc6\x12\x00\x01", Value: "\xc0\x00\x02\x01", Note: "another"}}},
		"nets":  {{Element: nft.Element{Key: "\x0b\x00\x00\x00", End: true}}, {Element: nft.Element{Key: "\x0a\x00\x00\x00"}}},
		"rates": {{Element: nft.Element{Key: "vethtest00000001"}, Stateful: true}},
	}
	for set, els := range want {
		got, err := c.Elements(tab, set)
		same(t, err, els, got)
		one, ok, err := c.Element(tab, set, els[len(els)-1].Key)
		same(t, err, els[len(els)-1], one)
		if !ok {
			t.Errorf("set %s: an element is missing", set)
		}
	}
}

func nothing(t *testing.T, c *nft.Conn, tab nft.Table) {
	t.Helper()
	exists, _, err := c.Table(tab)
	same(t, err, false, exists)
	sets, err := c.Sets(tab)
	same(t, err, nil, sets)
	counters, err := c.Counters(tab)
	same(t, err, nil, counters)
	rules, err := c.Rules(tab, "first")
	same(t, err, nil, rules)
	els, err := c.Elements(tab, "ports")
	same(t, err, nil, els)
	_, ok, err := c.Element(tab, "ports", key(1))
	same(t, err, false, ok)
}

func same[T any](t *testing.T, err error, want, got T) {
	t.Helper()
	less := func(a, b nft.Standing) bool { return a.Key < b.Key }
	undecoded := cmpopts.IgnoreFields(nft.StandingRule{}, "Exprs", "UserData")
	diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.SortSlices(less), undecoded)
	if err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestARefusalNamesItsMessage whatever comes before and after it, and nothing of
// the batch holds.
func TestARefusalNamesItsMessage(t *testing.T) {
	tests := map[string]struct {
		fill func(*nft.Batch)
		want nft.RefusedError
	}{
		"a set": {
			func(b *nft.Batch) { b.AddSet(nft.Set{Name: "shown", Key: rates().Key}, 9) },
			nft.RefusedError{Message: unix.NFT_MSG_NEWSET, Name: "shown", Errno: unix.EEXIST},
		},
		"a chain": {
			func(b *nft.Batch) { b.AddChain(nft.Chain{Name: "c", Type: "none", Hook: nftables.ChainHookForward}) },
			nft.RefusedError{Message: unix.NFT_MSG_NEWCHAIN, Name: "c", Errno: unix.ENOENT},
		},
		"a rule": {
			func(b *nft.Batch) { b.AddRule(nft.Rule{Chain: "none", Note: "n"}) },
			nft.RefusedError{Message: unix.NFT_MSG_NEWRULE, Name: "n", Errno: unix.ENOENT},
		},
		"an element": {
			func(b *nft.Batch) { b.Put("none", []nft.Element{{Key: "k"}}) },
			nft.RefusedError{Message: unix.NFT_MSG_NEWSETELEM, Name: "none", Errno: unix.ENOENT},
		},
		"one that goes": {
			func(b *nft.Batch) { b.Take("ports", []nft.Element{{Key: key(2)}}) },
			nft.RefusedError{Message: unix.NFT_MSG_DELSETELEM, Name: "ports", Errno: unix.ENOENT},
		},
		"the first of them": {func(b *nft.Batch) {
			b.AddRule(nft.Rule{Chain: "none", Note: "n"})
			for range 2000 {
				b.Put("none", []nft.Element{{Key: "k"}})
			}
		}, nft.RefusedError{Message: unix.NFT_MSG_NEWRULE, Name: "n", Errno: unix.ENOENT}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, tab := dial(t, rtnltest.New(t)), table(unix.NFPROTO_BRIDGE)
			err := send(c, tab, func(b *nft.Batch) {
				install(b)
				test.fill(b)
				b.AddChain(nft.Chain{Name: "last"})
			})
			refused, ok := errors.AsType[*nft.RefusedError](err)
			if !ok || *refused != test.want || !errors.Is(err, test.want.Errno) {
				t.Errorf("got %v %+v, want %+v", err, refused, test.want)
			}
			nothing(t, c, tab)
			// No answer is left for the next.
			must(t, send(c, tab, install))
			everything(t, c, tab)
		})
	}
}

func TestABatchOfThousandsOfElementsGoesAtOnce(t *testing.T) {
	const count = 20_000
	c, tab := dial(t, rtnltest.New(t)), table(unix.NFPROTO_BRIDGE)
	must(t, send(c, tab, install))
	before := c.Messages()
	els := make([]nft.Element, count)
	for i := range els {
		els[i].Key = key(i)
	}
	must(t, send(c, tab, func(b *nft.Batch) { b.Put("ports", els) }))
	if got, most := c.Messages()-before, uint64(count/100); got > most {
		t.Errorf("%d messages, want at most %d", got, most)
	}
	stand, err := c.Elements(tab, "ports")
	if len(stand) != count || err != nil {
		t.Errorf("%d elements stand, want %d; %v", len(stand), count, err)
	}
}
