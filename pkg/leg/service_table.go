package leg

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/rtnl"
)

const (
	tableName = "podlan_service"
	chainName = "postrouting"

	setClients  = "clients"
	setPods     = "pods"
	setServices = "services"
)

// chunk is how many elements go into one message, whose length is 16 bits.
const chunk = 150

// batchSize is what a batch may take, in bytes; the kernel takes memory only for
// what is sent.
const batchSize = 4 << 20

// table is the table "ip podlan_service" by one connection.
type table struct {
	conn  *nftables.Conn
	table *nftables.Table
}

func open(h *rtnl.Handle) (*table, error) {
	t := &table{table: &nftables.Table{Family: nftables.TableFamilyIPv4, Name: tableName}}
	roomy := nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetWriteBuffer(batchSize), c.SetReadBuffer(batchSize))
	})
	err := h.Do(func() (err error) {
		t.conn, err = nftables.New(nftables.AsLasting(), roomy)
		return err
	})
	return t, err
}

func (t *table) close() { _ = t.conn.CloseLasting() }

func (t *table) chain() *nftables.Chain {
	policy := nftables.ChainPolicyAccept
	// Before kube-proxy's chains, which masquerade: with whatever address the
	// kernel finds for a bridge that has none. The first translation stays.
	before := *nftables.ChainPriorityNATSource - 5
	return &nftables.Chain{
		Name: chainName, Table: t.table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: &before, Policy: &policy,
	}
}

// addresses is a map from a Pod's address to the node's.
func (t *table) addresses(name string) *nftables.Set {
	return &nftables.Set{
		Table: t.table, Name: name, IsMap: true,
		KeyType: nftables.TypeIPAddr, DataType: nftables.TypeIPAddr,
	}
}

func (t *table) networks() *nftables.Set {
	return &nftables.Set{Table: t.table, Name: setServices, Interval: true, KeyType: nftables.TypeIPAddr}
}

// stands reads what the table holds.
func (t *table) stands() (contents, error) {
	var c contents
	whole, err := t.whole()
	if err != nil {
		return c, err
	}
	c.whole = whole
	if c.clients, err = t.read(setClients); err != nil {
		return c, err
	}
	if c.pods, err = t.read(setPods); err != nil {
		return c, err
	}
	c.services, err = t.readServices()
	return c, err
}

// whole tells whether the table is called and its rules are this version's.
func (t *table) whole() (bool, error) {
	const dormant = 1 // NFT_TABLE_F_DORMANT
	found, err := t.conn.ListTableOfFamily(t.table.Name, t.table.Family)
	if err != nil || found.Flags&dormant != 0 {
		return false, unlessMissing(err)
	}
	chain := t.chain()
	stand, err := t.conn.GetRules(t.table, chain)
	if err != nil {
		return false, unlessMissing(err)
	}
	var notes, wanted []string
	for _, r := range stand {
		note, _ := userdata.GetString(r.UserData, userdata.TypeComment)
		notes = append(notes, note)
	}
	for _, r := range translations() {
		wanted = append(wanted, r.note)
	}
	return slices.Equal(notes, wanted), nil
}

func (t *table) read(set string) (map[netip.Addr]shown, error) {
	els, err := t.conn.GetSetElements(t.addresses(set))
	found := make(map[netip.Addr]shown)
	for _, e := range els {
		pod, isPod := netip.AddrFromSlice(e.Key)
		node, isNode := netip.AddrFromSlice(e.Val)
		if isPod && isNode {
			found[pod] = shown{node, e.Comment}
		}
	}
	return found, unlessMissing(err)
}

func (t *table) readServices() (spans, error) {
	els, err := t.conn.GetSetElements(t.networks())
	if err != nil {
		return nil, unlessMissing(err)
	}
	var starts, ends []uint64
	for _, e := range els {
		n := number(e.Key)
		if e.IntervalEnd {
			ends = append(ends, n)
		} else {
			starts = append(starts, n)
		}
	}
	slices.Sort(starts)
	slices.Sort(ends)
	return between(starts, ends), nil
}

// unlessMissing: what is not there holds nothing.
func unlessMissing(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
