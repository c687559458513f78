package guard

import (
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// chunk is how many elements go into one message, whose length is 16 bits.
const chunk = 200

// table is the one table that Podlan has.
func table() *nftables.Table {
	return &nftables.Table{Name: "podlan", Family: nftables.TableFamilyBridge}
}

// chain is a chain with its rules; hook is nil for one that others go to.
type chain struct {
	name     string
	hook     *nftables.ChainHook
	priority nftables.ChainPriority
	rules    rules
}

// chains stand in an order in which each comes before those that go to it.
func chains() []chain {
	return []chain{
		{name: chainARP, rules: arp()},
		{name: chainDHCP, rules: dhcp()},
		{name: chainIP4Any, rules: ip4Any()},
		{name: chainIP6Any, rules: ip6Any()},
		{name: chainIP4, rules: ip4()},
		{name: chainIP6, rules: ip6()},
		{name: chainToPod, rules: dhcpToPod()},
		// Before br_netfilter (0) and everything else that is usual (-300).
		{name: chainFrom, hook: nftables.ChainHookPrerouting, priority: -450, rules: fromPod()},
		{name: chainForward, hook: nftables.ChainHookForward, rules: towardsPod()},
		{name: chainOutput, hook: nftables.ChainHookOutput, rules: towardsPod()},
	}
}

func sets(t *nftables.Table) []*nftables.Set {
	plain := func(name string) *nftables.Set {
		// The byte order is for nft's eyes: without it, it prints no names.
		return &nftables.Set{Table: t, Name: name, KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian}
	}
	with := func(name string, value nftables.SetDatatype) *nftables.Set {
		return &nftables.Set{Table: t, Name: name, Concatenation: true, KeyType: nftables.MustConcatSetType(nftables.TypeIFName, value)}
	}
	return []*nftables.Set{
		plain(setPorts), plain(setDHCP), plain(setLayerTwo),
		with(setMAC, nftables.TypeEtherAddr), with(setIP4, nftables.TypeIPAddr), with(setIP6, nftables.TypeIP6Addr),
	}
}

// install puts the whole table with these ports in the place of what stood,
// within the batch: there is no moment between the two.
func install(c *nftables.Conn, ports []Port) error {
	t := table()
	c.AddTable(t) // so that there is one to remove
	c.DelTable(t)
	c.AddTable(t)
	for _, name := range counters() {
		c.AddObj(&nftables.NamedObj{Table: t, Name: name, Type: nftables.ObjTypeCounter, Obj: &expr.Counter{}})
	}
	for _, s := range sets(t) {
		if err := c.AddSet(s, nil); err != nil {
			return err
		}
	}
	for _, ch := range chains() {
		addChain(c, t, ch)
	}
	return put(c, ports)
}

func addChain(c *nftables.Conn, t *nftables.Table, ch chain) {
	accept := nftables.ChainPolicyAccept
	added := &nftables.Chain{Name: ch.name, Table: t}
	if ch.hook != nil {
		added.Type, added.Hooknum, added.Priority, added.Policy = nftables.ChainTypeFilter, ch.hook, &ch.priority, &accept
	}
	c.AddChain(added)
	for _, r := range ch.rules {
		c.AddRule(&nftables.Rule{Table: t, Chain: added, Exprs: r})
	}
}

// put adds the ports' elements; those that stand are no error.
func put(c *nftables.Conn, ports []Port) error {
	return eachSet(ports, func(s *nftables.Set, els []nftables.SetElement) error { return c.SetAddElements(s, els) })
}

// take removes the ports' elements. Older kernels refuse to remove an element
// that is not there, so it is added before, in the same batch.
func take(c *nftables.Conn, ports []Port) error {
	return eachSet(ports, func(s *nftables.Set, els []nftables.SetElement) error {
		if err := c.SetAddElements(s, els); err != nil {
			return err
		}
		return c.SetDeleteElements(s, els)
	})
}

// eachSet calls fn with what the ports have in each set, each key once: the
// kernel does not remove one twice.
func eachSet(ports []Port, fn func(*nftables.Set, []nftables.SetElement) error) error {
	bySet := make(map[string][]nftables.SetElement)
	seen := make(map[[2]string]bool)
	for _, p := range ports {
		for _, e := range p.elements() {
			if seen[[2]string{e.set, e.key}] {
				continue
			}
			seen[[2]string{e.set, e.key}] = true
			bySet[e.set] = append(bySet[e.set], nftables.SetElement{Key: []byte(e.key), Comment: e.note})
		}
	}
	for _, s := range sets(table()) {
		for els := range slices.Chunk(bySet[s.Name], chunk) {
			if err := fn(s, els); err != nil {
				return err
			}
		}
	}
	return nil
}
