package guard_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/podlan/podlan/pkg/guard"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

func ours() *nftables.Table {
	return &nftables.Table{Name: "podlan", Family: nftables.TableFamilyBridge}
}

// harms are what others may do to the table.
func harms(n *rtnltest.Netns) map[string]func(*nftables.Conn) {
	from := &nftables.Chain{Table: ours(), Name: "from_pod"}
	return map[string]func(*nftables.Conn){
		"flush ruleset": func(c *nftables.Conn) { c.FlushRuleset() },
		"delete table":  func(c *nftables.Conn) { c.DelTable(ours()) },
		"flush chain":   func(c *nftables.Conn) { c.FlushChain(from) },
		"flush table":   func(c *nftables.Conn) { c.FlushTable(ours()) },
		"flush set":     func(c *nftables.Conn) { c.FlushSet(&nftables.Set{Table: ours(), Name: "ip4"}) },
		"flush notes":   func(c *nftables.Conn) { c.FlushSet(&nftables.Set{Table: ours(), Name: "ports_v4"}) },
		"flush notes and more": func(c *nftables.Conn) {
			for _, set := range []string{"ports_v4", "mac", "sender4", "ip4"} {
				c.FlushSet(&nftables.Set{Table: ours(), Name: set})
			}
		},
		"flush all sets": func(c *nftables.Conn) {
			for _, set := range guard.Sets() {
				c.FlushSet(&nftables.Set{Table: ours(), Name: set})
			}
		},
		"a rule before ours": func(c *nftables.Conn) {
			c.InsertRule(&nftables.Rule{Table: ours(), Chain: from, Exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}})
		},
		"a rule after ours": func(c *nftables.Conn) {
			c.AddRule(&nftables.Rule{Table: ours(), Chain: from, Exprs: []expr.Any{&expr.Counter{}}})
		},
		"delete rule": func(c *nftables.Conn) {
			var rules []*nftables.Rule
			_ = n.Do(func() (err error) {
				other, err := nftables.New()
				if err == nil {
					rules, err = other.GetRules(ours(), from)
				}
				return err
			})
			if len(rules) > 1 {
				_ = c.DelRule(rules[1])
			}
		},
		"delete element": func(c *nftables.Conn) {
			key := make([]byte, 20)
			copy(key, port(1).Name)
			copy(key[16:], port(1).Addrs[0].AsSlice())
			_ = c.SetDeleteElements(&nftables.Set{Table: ours(), Name: "ip4"}, []nftables.SetElement{{Key: key}})
		},
	}
}

func TestWhoeverHarmsTheTableIsNoticedAndItIsRestored(t *testing.T) {
	g, n := newGuard(t)
	ports := []guard.Port{port(1), port(2)}
	for name, harm := range harms(n) {
		t.Run(name, func(t *testing.T) {
			must(t, g.Replace(t.Context(), ports))
			checkIntact(t, g, ports, true)
			events := watch(t, g)
			n.ChangeNFT(t, harm)
			wait(t, events)
			checkIntact(t, g, ports, false)
			for _, want := range []bool{true, false} {
				restored, err := g.Restore(t.Context(), func() ([]guard.Port, error) { return ports, nil })
				if err != nil || restored != want {
					t.Errorf("restored: %t, want %t; %v", restored, want, err)
				}
			}
			checkPorts(t, g, ports...)
			checkIntact(t, g, ports, true)
		})
	}
}

// As a plugin's DEL does, but for the farewell.
func TestWhoeverFlushesTheOnlyPortIsNoticed(t *testing.T) {
	g, n := newGuard(t)
	must(t, g.Add(t.Context(), port(1)))
	events := watch(t, g)
	n.ChangeNFT(t, harms(n)["flush all sets"])
	wait(t, events)
	checkIntact(t, g, []guard.Port{port(1)}, false)
}

func checkIntact(t *testing.T, g *guard.Guard, ports []guard.Port, want bool) {
	t.Helper()
	if got, err := g.Intact(t.Context(), ports); err != nil || got != want {
		t.Errorf("intact: %t, want %t; %v", got, want, err)
	}
}

func watch(t *testing.T, g *guard.Guard) *guard.Events {
	t.Helper()
	events, err := g.Watch()
	must(t, err)
	t.Cleanup(events.Close)
	return events
}

func wait(t *testing.T, events *guard.Events) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	must(t, events.Wait(ctx))
}

func TestNobodyIsWokenByOurOwnChanges(t *testing.T) {
	g, n := newGuard(t)
	must(t, g.Add(t.Context(), port(1)))
	events := watch(t, g)
	plugin := guard.New(n.Handle, t.TempDir()) // as a process of its own
	defer plugin.Close()
	must(t, g.Replace(t.Context(), []guard.Port{port(1)}))
	for i := range 50 {
		one, next := port(i), port(i)
		next.Addrs, next.DHCPClient = next.Addrs[:1], true
		must(t, plugin.Add(t.Context(), one))
		must(t, plugin.Set(t.Context(), one, next))
		must(t, plugin.Set(t.Context(), next, one))
		must(t, plugin.Remove(t.Context(), one))
	}
	n.ChangeNFT(t, func(c *nftables.Conn) {
		c.AddTable(&nftables.Table{Name: "podlan", Family: nftables.TableFamilyIPv4})
		c.AddTable(&nftables.Table{Name: "theirs", Family: nftables.TableFamilyBridge})
	})
	// All of it is in the socket by now.
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	time.AfterFunc(100*time.Millisecond, func() { cancel(enough) })
	if err := events.Wait(ctx); !errors.Is(err, enough) {
		t.Errorf("Wait: %v", err)
	}
	n.ChangeNFT(t, func(c *nftables.Conn) { c.DelTable(ours()) })
	wait(t, events)
}

func TestWhatIsLostInACrowdCountsAsAChange(t *testing.T) {
	g, n := newGuard(t)
	events := watch(t, g)
	for i := range 40 {
		table := &nftables.Table{Name: "theirs", Family: nftables.TableFamilyIPv4}
		set := &nftables.Set{Table: table, Name: "large", KeyType: nftables.TypeIPAddr}
		n.ChangeNFT(t, func(c *nftables.Conn) {
			c.AddTable(table)
			if i > 0 {
				c.DelTable(table)
				c.AddTable(table)
			}
			_ = c.AddSet(set, nil)
			for part := range 10 {
				var els []nftables.SetElement
				for host := range 250 {
					els = append(els, nftables.SetElement{Key: []byte{10, byte(i), byte(part), byte(host)}, Comment: "to fill the watcher's socket"})
				}
				_ = c.SetAddElements(set, els)
			}
		})
	}
	wait(t, events)
}

func TestNoTableIsIntactOnlyForNoPort(t *testing.T) {
	g, _ := newGuard(t)
	checkIntact(t, g, nil, true)
	checkIntact(t, g, []guard.Port{port(1)}, false)
	must(t, g.Add(t.Context(), port(1)))
	checkIntact(t, g, nil, true)
}

// A record may lag behind its port: what was put under the lock holds.
func TestRestoreKeepsWhatARecordDoesNotKnowYet(t *testing.T) {
	g, n := newGuard(t)
	changed, added := port(1), port(2)
	changed.Addrs = changed.Addrs[:1]
	must(t, g.Add(t.Context(), changed))
	must(t, g.Add(t.Context(), added))
	flush(t, n, "mac")
	restored, err := g.Restore(t.Context(), func() ([]guard.Port, error) { return []guard.Port{port(1), port(3)}, nil })
	if err != nil || !restored {
		t.Fatalf("restored: %t, %v", restored, err)
	}
	checkPorts(t, g, changed, added, port(3))
}
