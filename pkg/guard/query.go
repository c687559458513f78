package guard

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// asker asks the kernel: the library knows no question for a single element.
type asker struct {
	conn  *netlink.Conn
	asked func() // is told of every question
}

// found is an element that stands.
type found struct {
	key, note string
	packets   uint64 // of its counter
	stateful  bool   // it has a counter or a limit
}

// ask sends a question and gives each answer's attributes to fn. No such table,
// set or element is no answer.
func (a asker) ask(what string, message uint16, flags netlink.HeaderFlags, fill func(*encoder), fn func(*netlink.AttributeDecoder) error) error {
	question, err := request(message, flags, fill)
	if err != nil {
		return err
	}
	a.asked()
	answers, err := a.conn.Execute(question)
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

// attributes calls fn with each attribute behind a message's header.
func attributes(data []byte, fn func(*netlink.AttributeDecoder) error) error {
	if len(data) < 4 {
		return errors.New("a message without header")
	}
	ad, err := netlink.NewAttributeDecoder(data[4:])
	if err != nil {
		return err
	}
	ad.ByteOrder = binary.BigEndian
	if err := fn(ad); err != nil {
		return err
	}
	return ad.Err()
}

// inside calls fn with each attribute nested in the current one.
func inside(ad *netlink.AttributeDecoder, fn func(*netlink.AttributeDecoder)) {
	ad.Nested(func(inner *netlink.AttributeDecoder) error {
		for inner.Next() {
			fn(inner)
		}
		return nil
	})
}

// element asks for one element; ok is false if the element, the set or the
// table is missing.
func (a asker) element(set, key string) (one found, ok bool, err error) {
	err = a.ask("an element of "+set, unix.NFT_MSG_GETSETELEM, 0, func(ae *encoder) {
		ae.String(unix.NFTA_SET_ELEM_LIST_TABLE, tableName)
		ae.String(unix.NFTA_SET_ELEM_LIST_SET, set)
		nested(ae, unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(list *encoder) {
			nested(list, unix.NFTA_LIST_ELEM, func(e *encoder) { element{key: key}.encode(e, true) })
		})
	}, elements(func(e found) { one, ok = e, true }))
	return one, ok, err
}

// elements asks for all elements of a set.
func (a asker) elements(set string) ([]found, error) {
	var all []found
	err := a.ask("the elements of "+set, unix.NFT_MSG_GETSETELEM, netlink.Dump, func(ae *encoder) {
		ae.String(unix.NFTA_SET_ELEM_LIST_TABLE, tableName)
		ae.String(unix.NFTA_SET_ELEM_LIST_SET, set)
	}, elements(func(e found) { all = append(all, e) }))
	return all, err
}

func elements(fn func(found)) func(*netlink.AttributeDecoder) error {
	return func(ad *netlink.AttributeDecoder) error {
		for ad.Next() {
			if ad.Type() == unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				inside(ad, func(list *netlink.AttributeDecoder) {
					var e found
					inside(list, e.read)
					fn(e)
				})
			}
		}
		return nil
	}
}

func (e *found) read(ad *netlink.AttributeDecoder) {
	switch ad.Type() {
	case unix.NFTA_SET_ELEM_KEY:
		inside(ad, func(value *netlink.AttributeDecoder) { e.key = string(value.Bytes()) })
	case unix.NFTA_SET_ELEM_USERDATA:
		e.note, _ = userdata.GetString(ad.Bytes(), userdata.NFTNL_UDATA_SET_ELEM_COMMENT)
	case unix.NFTA_SET_ELEM_EXPR:
		e.stateful = true
		inside(ad, func(x *netlink.AttributeDecoder) {
			if x.Type() == unix.NFTA_EXPR_DATA {
				e.packets = packets(x)
			}
		})
	}
}

// packets reads a counter; a limit has another attribute in that place.
func packets(ad *netlink.AttributeDecoder) (n uint64) {
	inside(ad, func(c *netlink.AttributeDecoder) {
		if c.Type() == unix.NFTA_COUNTER_PACKETS && len(c.Bytes()) == 8 {
			n = c.Uint64()
		}
	})
	return n
}

// notes asks for a port's notes, none if it has no elements.
func (a asker) notes(name string) ([]string, error) {
	one, ok, err := a.element(setPorts, noteKey(name, 0))
	if err != nil || !ok {
		return nil, err
	}
	notes := []string{one.note}
	for i := range following(one.note) {
		next, _, err := a.element(setPorts, noteKey(name, i+1))
		if err != nil {
			return nil, err
		}
		notes = append(notes, next.note)
	}
	return notes, nil
}

// standing lists the ports of the table that stands, of whatever version; none
// if there is no table. It dumps a set: not for hot paths.
func (a asker) standing() ([]Port, error) {
	names, err := a.sets()
	if err != nil {
		return nil, err
	}
	var ports []Port
	for _, set := range names {
		if !strings.HasPrefix(set, setPortsPrefix) {
			continue
		}
		els, err := a.elements(set)
		if err != nil {
			return nil, err
		}
		ports = append(ports, portsOf(els)...)
	}
	return ports, nil
}

func portsOf(els []found) []Port {
	slices.SortFunc(els, func(a, b found) int {
		name, i := splitKey(a.key)
		other, j := splitKey(b.key)
		return cmp.Or(cmp.Compare(name, other), cmp.Compare(i, j))
	})
	// A set that grows under a dump shows an element twice.
	els = slices.CompactFunc(els, func(a, b found) bool { return a.key == b.key })
	notes := make(map[string][]string)
	for _, e := range els {
		name, _ := splitKey(e.key)
		notes[name] = append(notes[name], e.note)
	}
	var ports []Port
	for name, note := range notes {
		// What another version wrote and this one cannot read stays closed.
		if p, err := parseNotes(name, note); err == nil {
			ports = append(ports, p)
		}
	}
	return ports
}

// sets asks for the names of the table's sets.
func (a asker) sets() ([]string, error) {
	var names []string
	err := a.ask("the sets", unix.NFT_MSG_GETSET, netlink.Dump, func(ae *encoder) {
		ae.String(unix.NFTA_SET_TABLE, tableName)
	}, func(ad *netlink.AttributeDecoder) error {
		for ad.Next() {
			if ad.Type() == unix.NFTA_SET_NAME {
				names = append(names, ad.String())
			}
		}
		return nil
	})
	return names, err
}
