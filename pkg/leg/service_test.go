package leg

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"

	"github.com/podlan/podlan/pkg/netconf"
	"github.com/podlan/podlan/pkg/nft"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

const nodeIP = "198.18.0.10"

func legOf(port, addr string, cidrs ...string) Leg {
	if cidrs == nil {
		cidrs = []string{"10.96.0.0/12"}
	}
	l := Leg{
		Port: port, Device: "lan0", Bridge: "lan0", NodeIP: netip.MustParseAddr(nodeIP),
		Addrs:   []netip.Prefix{netip.MustParsePrefix(addr + "/16"), netip.MustParsePrefix("fd00::5/64")},
		Service: netconf.Service{Mode: netconf.ServiceSNAT},
	}
	for _, c := range cidrs {
		l.Service.CIDRs = append(l.Service.CIDRs, netip.MustParsePrefix(c))
	}
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// holds compares what the table holds.
func (r rules) holds(t *testing.T, clients, pods map[string]string, services ...string) {
	t.Helper()
	must(t, r.session(t.Context(), func(tab *table) error {
		c, err := tab.stands()
		if err != nil {
			return err
		}
		var nets []netip.Prefix
		for _, s := range services {
			nets = append(nets, netip.MustParsePrefix(s))
		}
		if diff := cmp.Diff([]map[string]string{clients, pods}, []map[string]string{byText(c.clients), byText(c.pods)}); diff != "" {
			t.Errorf("clients and Pods (-want +got):\n%s", diff)
		}
		if want := (spans{}).with(nets...); !want.equal(c.services) {
			t.Errorf("Services' networks %v, want %v", c.services, want)
		}
		if whole := len(pods) > 0; c.whole != whole {
			t.Errorf("the rules stand: %v, want %v", c.whole, whole)
		}
		return nil
	}))
}

func byText(pods map[netip.Addr]shown) map[string]string {
	text := make(map[string]string)
	for a, s := range pods {
		text[a.String()] = s.port + " " + s.nodeIP.String()
	}
	return text
}

type set = map[string]string

func TestServiceTableHoldsWhatItsLegsNeed(t *testing.T) {
	r := rules{rtnltest.New(t).Handle}
	a, b, c := legOf("vethpl1", "198.18.1.1"), legOf("vethpl2", "198.18.1.2", "10.43.0.0/16"), legOf("vethpl3", "198.18.1.3", "10.96.0.0/16")
	c.Service.Mode = netconf.ServiceBridgeNF

	must(t, r.add(t.Context(), a, legs()))
	one := set{"198.18.1.1": "vethpl1 " + nodeIP}
	r.holds(t, one, one, "10.96.0.0/12", nodeIP+"/32")

	must(t, r.add(t.Context(), b, legs(a)))
	must(t, r.add(t.Context(), c, legs(a, b)))
	must(t, r.add(t.Context(), c, legs(a, b)))
	two := set{"198.18.1.1": "vethpl1 " + nodeIP, "198.18.1.2": "vethpl2 " + nodeIP}
	three := set{"198.18.1.1": "vethpl1 " + nodeIP, "198.18.1.2": "vethpl2 " + nodeIP, "198.18.1.3": "vethpl3 " + nodeIP}
	r.holds(t, two, three, "10.96.0.0/12", "10.43.0.0/16", nodeIP+"/32")

	must(t, r.remove(t.Context(), a, []Leg{b, c}))
	must(t, r.remove(t.Context(), a, []Leg{b, c}))
	b1 := set{"198.18.1.2": "vethpl2 " + nodeIP}
	r.holds(t, b1, set{"198.18.1.2": "vethpl2 " + nodeIP, "198.18.1.3": "vethpl3 " + nodeIP}, "10.43.0.0/16", nodeIP+"/32")
}

func TestServiceTableGoesWithTheLastLeg(t *testing.T) {
	n := rtnltest.New(t)
	r := rules{n.Handle}
	a := legOf("vethpl1", "198.18.1.1")
	must(t, r.remove(t.Context(), a, nil))
	must(t, r.add(t.Context(), a, legs()))
	must(t, r.remove(t.Context(), a, nil))
	if tables := nftTables(t, n); len(tables) != 0 {
		t.Errorf("tables that are left: %v", tables)
	}
}

func nftTables(t *testing.T, n *rtnltest.Netns) []string {
	t.Helper()
	var names []string
	must(t, n.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		all, err := c.ListTables()
		for _, one := range all {
			names = append(names, one.Name)
		}
		return err
	}))
	return names
}

// An earlier sandbox of the same Pod: its DEL comes after the ADD.
func TestServiceTableKeepsTheAddressOfANewerLeg(t *testing.T) {
	r := rules{rtnltest.New(t).Handle}
	before, after := legOf("vethpl1", "198.18.1.1"), legOf("vethpl2", "198.18.1.1")
	must(t, r.add(t.Context(), before, legs()))
	must(t, r.add(t.Context(), after, legs(before)))
	must(t, r.remove(t.Context(), before, []Leg{after}))
	theirs := set{"198.18.1.1": "vethpl2 " + nodeIP}
	r.holds(t, theirs, theirs, "10.96.0.0/12", nodeIP+"/32")
}

func TestServiceTableFollowsAPodsAddressAndTheNodes(t *testing.T) {
	r := rules{rtnltest.New(t).Handle}
	before, after := legOf("vethpl1", "198.18.1.1"), legOf("vethpl1", "198.18.7.7")
	after.NodeIP = netip.MustParseAddr("198.18.0.99")
	must(t, r.add(t.Context(), before, legs()))
	must(t, r.add(t.Context(), after, legs()))
	one := set{"198.18.7.7": "vethpl1 198.18.0.99"}
	// The node's former address may be another host's by now.
	r.holds(t, one, one, "10.96.0.0/12", "198.18.0.99/32")

	r.intactly(t, false, before)
	must(t, r.restore(t.Context(), []Leg{before}))
	r.intactly(t, true, before)
	later := before
	later.NodeIP = netip.MustParseAddr("198.18.0.11")
	r.intactly(t, false, later)
}

func TestServiceTableIsRestoredAfterAnything(t *testing.T) {
	a, b := legOf("vethpl1", "198.18.1.1"), legOf("vethpl2", "198.18.1.2")
	table := &nftables.Table{Name: tableName, Family: nftables.TableFamilyIPv4}
	chain := &nftables.Chain{Name: chainName, Table: table}
	harm := map[string]func(*nftables.Conn) error{
		"the ruleset is flushed":   func(c *nftables.Conn) error { c.FlushRuleset(); return nil },
		"the table is deleted":     func(c *nftables.Conn) error { c.DelTable(table); return nil },
		"the table's rules go":     func(c *nftables.Conn) error { c.FlushTable(table); return nil },
		"a set of Pods is flushed": func(c *nftables.Conn) error { c.FlushSet(&nftables.Set{Table: table, Name: setPods}); return nil },
		"the networks are flushed": func(c *nftables.Conn) error {
			c.FlushSet(&nftables.Set{Table: table, Name: setServices})
			return nil
		},
		"a rule is added": func(c *nftables.Conn) error {
			c.AddRule(&nftables.Rule{Table: table, Chain: chain})
			return nil
		},
		"a Pod has another's note": func(c *nftables.Conn) error {
			s := &nftables.Set{Table: table, Name: setPods, IsMap: true, KeyType: nftables.TypeIPAddr, DataType: nftables.TypeIPAddr}
			e := []nftables.SetElement{{Key: []byte{198, 18, 1, 1}, Val: []byte{1, 1, 1, 1}}}
			if err := c.SetDeleteElements(s, e); err != nil {
				return err
			}
			return c.SetAddElements(s, e)
		},
	}
	for name, do := range harm {
		t.Run(name, func(t *testing.T) {
			n := rtnltest.New(t)
			r := rules{n.Handle}
			must(t, r.add(t.Context(), a, legs()))
			must(t, r.add(t.Context(), b, legs(a)))
			r.intactly(t, true, a, b)
			must(t, n.Do(func() error {
				c, err := nftables.New()
				if err != nil {
					return err
				}
				if err := do(c); err != nil {
					return err
				}
				return c.Flush()
			}))
			r.intactly(t, false, a, b)
			must(t, r.restore(t.Context(), []Leg{a, b}))
			r.intactly(t, true, a, b)
		})
	}
}

func (r rules) intactly(t *testing.T, want bool, legs ...Leg) {
	t.Helper()
	got, err := r.intact(t.Context(), legs)
	must(t, err)
	if got != want {
		t.Errorf("intact: %v, want %v", got, want)
	}
}

func TestServiceTableIsIntactBesideALegThatIsBeingAdded(t *testing.T) {
	r := rules{rtnltest.New(t).Handle}
	a, b := legOf("vethpl1", "198.18.1.1"), legOf("vethpl2", "198.18.1.2")
	r.intactly(t, true)
	r.intactly(t, false, a)
	must(t, r.add(t.Context(), a, legs()))
	must(t, r.add(t.Context(), b, legs(a)))
	r.intactly(t, true, a)
	must(t, r.restore(t.Context(), []Leg{a}))
	r.intactly(t, true, a, b)
}

func TestSpansMergeWhatTouchesAndReadBackWhatASetHolds(t *testing.T) {
	nets := func(all ...string) (p []netip.Prefix) {
		for _, one := range all {
			p = append(p, netip.MustParsePrefix(one))
		}
		return p
	}
	cases := map[string]struct {
		nets []netip.Prefix
		want spans
	}{
		"none":         {nil, nil},
		"one within":   {nets("10.96.0.0/12", "10.100.0.0/16"), spans{{0x0a600000, 0x0a700000}}},
		"side by side": {nets("10.1.0.0/16", "10.0.0.0/16"), spans{{0x0a000000, 0x0a020000}}},
		"the last":     {nets("255.255.255.255/32", "1.0.0.0/8"), spans{{0x01000000, 0x02000000}, {0xffffffff, 1 << 32}}},
		"all":          {nets("0.0.0.0/0"), spans{{0, 1 << 32}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := spans(nil).with(c.nets...)
			if !got.equal(c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			r := rules{rtnltest.New(t).Handle}
			must(t, r.session(t.Context(), func(tab *table) error {
				if err := tab.batch(func(b *nft.Batch) { install(b, contents{services: got}) }); err != nil {
					return err
				}
				stood, err := tab.readServices()
				if !stood.equal(c.want) {
					t.Errorf("stands as %v, want %v", stood, c.want)
				}
				return err
			}))
		})
	}
}
