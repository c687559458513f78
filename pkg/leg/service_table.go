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
	// heard counts the elements that were read, sent the messages of batches and
	// the questions about single elements.
	heard, sent int
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
	t.sent += len(b.messages)
	return b.send(t.conn)
}

// stands reads what the table holds.
func (t *table) stands() (contents, error) { return t.holding(t.elements) }

// standsFor reads what the table holds, but of Pods only the leg's: the answer
// does not grow with them.
func (t *table) standsFor(l Leg) (contents, error) {
	return t.holding(func(set string) ([]nftables.SetElement, error) { return t.those(set, l.addrs()) })
}

// holding reads what the table holds, with Pods as they are asked for in a set.
func (t *table) holding(pods func(set string) ([]nftables.SetElement, error)) (contents, error) {
	var c contents
	found, err := t.lib.ListTableOfFamily(tableName, nftables.TableFamilyIPv4)
	if err != nil {
		return c, unlessMissing(err)
	}
	c.exists = true
	if c.whole, err = t.whole(found); err != nil {
		return c, err
	}
	for set, to := range map[string]*map[netip.Addr]shown{setClients: &c.clients, setPods: &c.pods} {
		els, err := pods(set)
		if err != nil {
			return c, err
		}
		*to = byPod(els)
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

func byPod(els []nftables.SetElement) map[netip.Addr]shown {
	found := make(map[netip.Addr]shown)
	for _, e := range els {
		pod, isPod := netip.AddrFromSlice(e.Key)
		node, isNode := netip.AddrFromSlice(e.Val)
		if isPod && isNode {
			found[pod] = shown{node, e.Comment}
		}
	}
	return found
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
	els, err := t.lib.GetSetElements(set)
	t.heard += len(els)
	return els, err
}

// unlessMissing: what is not there holds nothing.
func unlessMissing(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
