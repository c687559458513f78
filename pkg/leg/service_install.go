package leg

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
)

// install puts the whole table with these contents in the place of what stood,
// in one batch: there is no moment between the two.
func (t *table) install(c contents) error {
	t.conn.AddTable(t.table) // so that there is one to remove
	t.conn.DelTable(t.table)
	for _, p := range t.parts(c) {
		if err := p.put(); err != nil {
			return err
		}
	}
	return t.conn.Flush()
}

// piece is what a kernel may lack something for.
type piece struct {
	needs string
	put   func() error
}

// parts are the table's, in the order in which they refer to each other.
func (t *table) parts(c contents) []piece {
	chain := t.chain()
	all := []piece{
		{"nf_tables for IPv4 (CONFIG_NF_TABLES_IPV4)", func() error { t.conn.AddTable(t.table); return nil }},
		{"sets (before Linux 5.10: CONFIG_NF_TABLES_SET)", func() error { return t.putSets(c) }},
		{"nf_tables' NAT (CONFIG_NFT_NAT, CONFIG_NF_NAT, module nft_chain_nat)", func() error { t.conn.AddChain(chain); return nil }},
	}
	for _, r := range translations() {
		all = append(all, piece{r.needs, func() error {
			note := userdata.AppendString(nil, userdata.TypeComment, r.note)
			t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: chain, Exprs: r.exprs, UserData: note})
			return nil
		}})
	}
	return all
}

func (t *table) putSets(c contents) error {
	var nets []nftables.SetElement
	for _, s := range c.services {
		nets = append(nets, nftables.SetElement{Key: key(s.from)})
		if s.to < 1<<32 {
			nets = append(nets, nftables.SetElement{Key: key(s.to), IntervalEnd: true})
		}
	}
	if err := t.conn.AddSet(t.networks(), nil); err != nil {
		return err
	}
	for part := range slices.Chunk(nets, chunk) {
		if err := t.conn.SetAddElements(t.networks(), part); err != nil {
			return err
		}
	}
	for name, pods := range map[string]map[netip.Addr]shown{setClients: c.clients, setPods: c.pods} {
		if err := t.conn.AddSet(t.addresses(name), nil); err != nil {
			return err
		}
		if err := t.put(name, elements(pods)); err != nil {
			return err
		}
	}
	return nil
}

// update changes, in one batch, the elements that differ.
func (t *table) update(stood, wanted contents) error {
	for name, pods := range map[string][2]map[netip.Addr]shown{
		setClients: {stood.clients, wanted.clients}, setPods: {stood.pods, wanted.pods},
	} {
		gone, come := elements(without(pods[0], pods[1])), elements(without(pods[1], pods[0]))
		for part := range slices.Chunk(gone, chunk) {
			if err := t.conn.SetDeleteElements(t.addresses(name), part); err != nil {
				return err
			}
		}
		if err := t.put(name, come); err != nil {
			return err
		}
	}
	return t.conn.Flush()
}

func (t *table) put(name string, els []nftables.SetElement) error {
	for part := range slices.Chunk(els, chunk) {
		if err := t.conn.SetAddElements(t.addresses(name), part); err != nil {
			return err
		}
	}
	return nil
}

// drop removes the table, if there is any.
func (t *table) drop() error {
	t.conn.AddTable(t.table) // so that there is one to remove
	t.conn.DelTable(t.table)
	return t.conn.Flush()
}

func elements(pods map[netip.Addr]shown) []nftables.SetElement {
	var els []nftables.SetElement
	for pod, s := range pods {
		els = append(els, nftables.SetElement{Key: pod.AsSlice(), Val: s.nodeIP.AsSlice(), Comment: s.port})
	}
	return els
}

// without returns the Pods that are not, exactly as they are, among others.
func without(pods, others map[netip.Addr]shown) map[netip.Addr]shown {
	left := make(map[netip.Addr]shown)
	for pod, s := range pods {
		if o, ok := others[pod]; !ok || o != s {
			left[pod] = s
		}
	}
	return left
}
