package nft

import (
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// Element is an element of a set or a map.
type Element struct {
	// Key and Value are bytes as the set's types have them.
	Key, Value string
	// Note is kept with the element, at most 252 bytes; nft shows it as a comment.
	Note string
	// End: Key is the first that the interval before it does not have.
	End bool
	// Above: the element is found only by packets above this rate. It is not read
	// back.
	Above Rate
}

// Rate is what may come in a second, and what of it at once, in packets; none is
// the zero value.
type Rate struct{ PerSecond, Burst uint32 }

// Standing is an element as the kernel has it.
type Standing struct {
	Element

	// Packets are those that its counter has counted.
	Packets uint64
	// Stateful: it has a counter or a rate. Kernels before Linux 5.7 take neither.
	Stateful bool
}

// elementsOf names elements of a set.
func elementsOf(t Table, set string, els []Element, encode func(*Element, *Encoder, byte)) func(*Encoder) {
	return func(ae *Encoder) {
		ofSet(t, set)(ae)
		nested(ae, unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(list *Encoder) {
			for _, e := range els {
				nested(list, unix.NFTA_LIST_ELEM, func(one *Encoder) { encode(&e, one, t.Family) })
			}
		})
	}
}

func ofSet(t Table, set string) func(*Encoder) {
	return func(ae *Encoder) {
		ae.String(unix.NFTA_SET_ELEM_LIST_TABLE, t.Name)
		ae.String(unix.NFTA_SET_ELEM_LIST_SET, set)
	}
}

func (e *Element) encodeKey(ae *Encoder, _ byte) {
	nested(ae, unix.NFTA_SET_ELEM_KEY, func(k *Encoder) { k.Bytes(unix.NFTA_DATA_VALUE, []byte(e.Key)) })
}

func (e *Element) encode(ae *Encoder, family byte) {
	e.encodeKey(ae, family)
	if e.End {
		ae.Uint32(unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
	}
	if e.Value != "" {
		nested(ae, unix.NFTA_SET_ELEM_DATA, func(d *Encoder) { d.Bytes(unix.NFTA_DATA_VALUE, []byte(e.Value)) })
	}
	if e.Note != "" {
		ae.Bytes(unix.NFTA_SET_ELEM_USERDATA, userdata.AppendString(nil, userdata.NFTNL_UDATA_SET_ELEM_COMMENT, e.Note))
	}
	if r := e.Above; r != (Rate{}) {
		limit := &expr.Limit{Type: expr.LimitTypePkts, Rate: uint64(r.PerSecond), Unit: expr.LimitTimeSecond, Burst: r.Burst, Over: true}
		nested(ae, unix.NFTA_SET_ELEM_EXPR, func(x *Encoder) { expression(x, family, limit) })
	}
}

func (e *Standing) decode(ad *Decoder) {
	switch ad.Type() {
	case unix.NFTA_SET_ELEM_KEY:
		inside(ad, func(value *Decoder) { e.Key = string(value.Bytes()) })
	case unix.NFTA_SET_ELEM_DATA:
		inside(ad, func(value *Decoder) { e.Value = string(value.Bytes()) })
	case unix.NFTA_SET_ELEM_FLAGS:
		e.End = ad.Uint32()&unix.NFT_SET_ELEM_INTERVAL_END != 0
	case unix.NFTA_SET_ELEM_USERDATA:
		e.Note = note(ad.Bytes(), userdata.NFTNL_UDATA_SET_ELEM_COMMENT)
	case unix.NFTA_SET_ELEM_EXPR:
		e.Stateful = true
		name := ""
		inside(ad, func(x *Decoder) {
			switch {
			case x.Type() == unix.NFTA_EXPR_NAME:
				name = x.String()
			case x.Type() == unix.NFTA_EXPR_DATA && name == "counter":
				e.Packets = packets(x)
			}
		})
	}
}

// packets reads a counter.
func packets(ad *Decoder) (n uint64) {
	inside(ad, func(c *Decoder) {
		if c.Type() == unix.NFTA_COUNTER_PACKETS && len(c.Bytes()) == 8 {
			n = c.Uint64()
		}
	})
	return n
}
