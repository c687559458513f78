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

// table is the table "ip podlan_service" of a namespace.
type table struct {
	lib  *nftables.Conn
	conn *netlink.Conn
}

func open(h *rtnl.Handle) (*table, error) {
	t := &table{}
	err := h.Do(func() (err error) {
		if t.lib, err = nftables.New(nftables.AsLasting()); err != nil {
			return err
		}
		t.conn, err = netlink.Dial(unix.NETLINK_NETFILTER, nil)
		return err
	})
	if err == nil {
		err = roomy(t.conn)
	}
	if err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *table) close() {
	if t.lib != nil {
		_ = t.lib.CloseLasting()
	}
	if t.conn != nil {
		_ = t.conn.Close()
	}
}

// batch sends what fill adds as one transaction.
func (t *table) batch(fill func(*batch)) error {
	var b batch
	fill(&b)
	return b.send(t.conn)
}

// stands reads what the table holds.
func (t *table) stands() (contents, error) {
	var c contents
	found, err := t.lib.ListTableOfFamily(tableName, nftables.TableFamilyIPv4)
	if err != nil {
		return c, unlessMissing(err)
	}
	c.exists = true
	if c.whole, err = t.whole(found); err != nil {
		return c, err
	}
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
func (t *table) whole(found *nftables.Table) (bool, error) {
	const dormant = 1 // NFT_TABLE_F_DORMANT
	stand, err := listRules(t.conn, unix.NFPROTO_IPV4, tableName, chainName)
	if err != nil || found.Flags&dormant != 0 {
		return false, err
	}
	var notes, wanted []string
	for _, r := range stand {
		note, _ := userdata.GetString(r.userdata, userdata.TypeComment)
		notes = append(notes, note)
	}
	for _, r := range translations() {
		wanted = append(wanted, r.note)
	}
	return slices.Equal(notes, wanted), nil
}

func (t *table) read(set string) (map[netip.Addr]shown, error) {
	els, err := t.elements(set)
	if err != nil {
		return nil, err
	}
	found := make(map[netip.Addr]shown)
	for _, e := range els {
		pod, isPod := netip.AddrFromSlice(e.Key)
		node, isNode := netip.AddrFromSlice(e.Val)
		if isPod && isNode {
			found[pod] = shown{node, e.Comment}
		}
	}
	return found, nil
}

func (t *table) readServices() (spans, error) {
	els, err := t.elements(setServices)
	if err != nil {
		return nil, err
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

// elements are those of a set, none of one that another version's table lacks.
func (t *table) elements(name string) ([]nftables.SetElement, error) {
	// The library's error about elements does not tell what the kernel said.
	set, err := t.lib.GetSetByName(&nftables.Table{Name: tableName, Family: nftables.TableFamilyIPv4}, name)
	if err != nil {
		return nil, unlessMissing(err)
	}
	return t.lib.GetSetElements(set)
}

// unlessMissing: what is not there holds nothing.
func unlessMissing(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
