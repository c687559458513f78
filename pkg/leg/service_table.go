package leg

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/nft"
	"github.com/podlan/podlan/pkg/rtnl"
)

const (
	tableName = "podlan_service"
	chainName = "postrouting"

	setClients  = "clients"
	setPods     = "pods"
	setServices = "services"
)

// serviceTable is the table "ip podlan_service" of a namespace.
func serviceTable() nft.Table { return nft.Table{Family: unix.NFPROTO_IPV4, Name: tableName} }

// table is an open socket to it.
type table struct {
	conn *nft.Conn
	// heard counts the elements that were read.
	heard int
}

// batchSize is what a table with thousands of Pods takes as one batch, in bytes.
const batchSize = 4 << 20

func open(h *rtnl.Handle) (*table, error) {
	t := &table{}
	err := h.Do(func() (err error) {
		t.conn, err = nft.Dial(batchSize)
		return err
	})
	return t, err
}

func (t *table) close() { _ = t.conn.Close() }

// batch sends what fill adds as one transaction.
func (t *table) batch(fill func(*nft.Batch)) error {
	b := nft.NewBatch(serviceTable())
	fill(b)
	return t.conn.Send(b)
}

// stands reads what the table holds.
func (t *table) stands() (contents, error) { return t.holding(t.elements) }

// standsFor reads what the table holds, but of Pods only the leg's: the answer
// does not grow with them.
func (t *table) standsFor(l Leg) (contents, error) {
	return t.holding(func(set string) ([]nft.Standing, error) { return t.those(set, l.addrs()) })
}

// holding reads what the table holds, with Pods as they are asked for in a set.
func (t *table) holding(pods func(set string) ([]nft.Standing, error)) (c contents, err error) {
	var awake bool
	if c.exists, awake, err = t.conn.Table(serviceTable()); err != nil || !c.exists {
		return c, err
	}
	whole, err := t.whole()
	if err != nil {
		return c, err
	}
	c.whole = awake && whole
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

// whole tells whether the table's rules are this version's.
func (t *table) whole() (bool, error) {
	stand, err := t.conn.Rules(serviceTable(), chainName)
	same := slices.EqualFunc(stand, translations(), func(has nft.StandingRule, want translation) bool {
		return has.Note == want.note
	})
	return same, err
}

func byPod(els []nft.Standing) map[netip.Addr]shown {
	found := make(map[netip.Addr]shown)
	for _, e := range els {
		pod, isPod := netip.AddrFromSlice([]byte(e.Key))
		node, isNode := netip.AddrFromSlice([]byte(e.Value))
		if isPod && isNode {
			found[pod] = shown{node, e.Note}
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
		if e.End {
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
func (t *table) elements(set string) ([]nft.Standing, error) {
	els, err := t.conn.Elements(serviceTable(), set)
	t.heard += len(els)
	return els, err
}

// those are the elements of these addresses alone, each asked for by itself. What
// is not there is not returned.
func (t *table) those(set string, addrs []netip.Addr) ([]nft.Standing, error) {
	var els []nft.Standing
	for _, a := range addrs {
		one, ok, err := t.conn.Element(serviceTable(), set, string(a.AsSlice()))
		if err != nil {
			return nil, err
		}
		if ok {
			els = append(els, one)
			t.heard++
		}
	}
	return els, nil
}
