package nft

import (
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Ask sends a question, NFT_MSG_GET*, and gives each answer's attributes to fn.
// What is not there is no answer; what names the question in errors.
func (c *Conn) Ask(what string, family byte, kind uint16, flags netlink.HeaderFlags, fill func(*Encoder), fn func(*Decoder) error) error {
	question, err := Request(family, kind, flags, fill)
	if err != nil {
		return err
	}
	c.messages++
	answers, err := c.nl.Execute(question)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ask for %s: %w", what, err)
	}
	for _, m := range answers {
		if m.Header.Type == netlink.Error { // an acknowledgement
			continue
		}
		if err := attributes(m.Data, fn); err != nil {
			return fmt.Errorf("answer about %s: %w", what, err)
		}
	}
	return nil
}

// Table tells whether there is the table, and whether its chains are called.
func (c *Conn) Table(t Table) (exists, awake bool, err error) {
	const dormant = 1 // NFT_TABLE_F_DORMANT
	err = c.Ask("table "+t.Name, t.Family, unix.NFT_MSG_GETTABLE, 0, func(ae *Encoder) {
		ae.String(unix.NFTA_TABLE_NAME, t.Name)
	}, func(ad *Decoder) error {
		exists, awake = true, true
		for ad.Next() {
			if ad.Type() == unix.NFTA_TABLE_FLAGS {
				awake = ad.Uint32()&dormant == 0
			}
		}
		return nil
	})
	return exists, awake, err
}

// Sets lists the names of the table's sets.
func (c *Conn) Sets(t Table) ([]string, error) {
	var names []string
	err := c.Ask("the sets of table "+t.Name, t.Family, unix.NFT_MSG_GETSET, netlink.Dump, func(ae *Encoder) {
		ae.String(unix.NFTA_SET_TABLE, t.Name)
	}, func(ad *Decoder) error {
		for ad.Next() {
			if ad.Type() == unix.NFTA_SET_NAME {
				names = append(names, ad.String())
			}
		}
		return nil
	})
	return names, err
}

// StandingRule is a rule as the kernel has it, undecoded: Exprs may be others'.
type StandingRule struct {
	Chain, Note     string
	Exprs, UserData []byte
}

// Rules lists the rules of a chain, or of the whole table if chain is "", in their
// order within a chain.
func (c *Conn) Rules(t Table, chain string) ([]StandingRule, error) {
	var all []StandingRule
	err := c.Ask("the rules of table "+t.Name, t.Family, unix.NFT_MSG_GETRULE, netlink.Dump, func(ae *Encoder) {
		ae.String(unix.NFTA_RULE_TABLE, t.Name)
		if chain != "" {
			ae.String(unix.NFTA_RULE_CHAIN, chain)
		}
	}, func(ad *Decoder) error {
		all = append(all, decodeRule(ad))
		return nil
	})
	return all, err
}

// Counters reads how many packets each of the table's counters has counted.
func (c *Conn) Counters(t Table) (map[string]uint64, error) {
	all := make(map[string]uint64)
	err := c.Ask("the counters of table "+t.Name, t.Family, unix.NFT_MSG_GETOBJ, netlink.Dump, func(ae *Encoder) {
		ae.String(unix.NFTA_OBJ_TABLE, t.Name)
	}, func(ad *Decoder) error {
		if name, n, counts := decodeCounter(ad); counts {
			all[name] = n
		}
		return nil
	})
	return all, err
}

// Element asks for one element of a set; false if it, the set or the table is
// missing.
func (c *Conn) Element(t Table, set, key string) (one Standing, ok bool, err error) {
	fill := elementsOf(t, set, []Element{{Key: key}}, (*Element).encodeKey)
	err = c.Ask("an element of "+set, t.Family, unix.NFT_MSG_GETSETELEM, 0, fill, elements(func(e Standing) { one, ok = e, true }))
	return one, ok, err
}

// Elements lists the elements of a set. One that grows at the time may show some
// twice, or leave some out.
func (c *Conn) Elements(t Table, set string) ([]Standing, error) {
	var all []Standing
	err := c.Ask("the elements of "+set, t.Family, unix.NFT_MSG_GETSETELEM, netlink.Dump, ofSet(t, set),
		elements(func(e Standing) { all = append(all, e) }))
	return all, err
}
