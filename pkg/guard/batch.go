package guard

import (
	"encoding/binary"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// batch is a transaction: all of its messages hold, or none. google/nftables
// has the expressions; its own batches know no element with a limit.
type batch struct {
	messages []netlink.Message
	err      error
}

type encoder = netlink.AttributeEncoder

// nfgenmsg is struct nfgenmsg, which begins every message.
func nfgenmsg(family byte, resource uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{family, unix.NFNETLINK_V0}, resource)
}

func nftType(message uint16) netlink.HeaderType {
	return netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | message)
}

// request is a message about bridges' tables.
func request(message uint16, flags netlink.HeaderFlags, fill func(*encoder)) (netlink.Message, error) {
	ae := netlink.NewAttributeEncoder()
	ae.ByteOrder = binary.BigEndian
	fill(ae)
	attrs, err := ae.Encode()
	return netlink.Message{
		Header: netlink.Header{Type: nftType(message), Flags: netlink.Request | flags},
		Data:   append(nfgenmsg(unix.NFPROTO_BRIDGE, 0), attrs...),
	}, err
}

func (b *batch) add(message uint16, flags netlink.HeaderFlags, fill func(*encoder)) {
	m, err := request(message, flags, fill)
	if err != nil && b.err == nil {
		b.err = err
	}
	b.messages = append(b.messages, m)
}

// nested is Nested for what cannot fail.
func nested(ae *encoder, kind uint16, fill func(*encoder)) {
	ae.Nested(kind, func(inner *encoder) error {
		fill(inner)
		return nil
	})
}

func (b *batch) table(message uint16) {
	b.add(message, netlink.Create, func(ae *encoder) { ae.String(unix.NFTA_TABLE_NAME, tableName) })
}

func (b *batch) counter(name string) {
	b.add(unix.NFT_MSG_NEWOBJ, netlink.Create, func(ae *encoder) {
		ae.String(unix.NFTA_OBJ_TABLE, tableName)
		ae.String(unix.NFTA_OBJ_NAME, name)
		ae.Uint32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
		nested(ae, unix.NFTA_OBJ_DATA, func(*encoder) {})
	})
}

// The kernel's names for what the library keeps to itself.
const (
	setFlagConcat = 0x80 // NFT_SET_CONCAT
	setDescConcat = 2    // NFTA_SET_DESC_CONCAT
	setExpr       = 0x11 // NFTA_SET_EXPR
)

// set adds a set; id is its name within the batch.
func (b *batch) set(s set, id uint32) {
	kind := s.key()
	b.add(unix.NFT_MSG_NEWSET, netlink.Create, func(ae *encoder) {
		ae.String(unix.NFTA_SET_TABLE, tableName)
		ae.String(unix.NFTA_SET_NAME, s.name)
		ae.Uint32(unix.NFTA_SET_ID, id)
		ae.Uint32(unix.NFTA_SET_KEY_TYPE, kind.GetNFTMagic())
		ae.Uint32(unix.NFTA_SET_KEY_LEN, kind.Bytes)
		if len(s.values) == 0 {
			ae.Uint32(unix.NFTA_SET_FLAGS, 0)
			// For nft's eyes: without the byte order, it prints no names.
			ae.Bytes(unix.NFTA_SET_USERDATA, userdata.AppendUint32(nil, userdata.NFTNL_UDATA_SET_KEYBYTEORDER, 1))
		} else {
			ae.Uint32(unix.NFTA_SET_FLAGS, setFlagConcat)
			nested(ae, unix.NFTA_SET_DESC, func(desc *encoder) { s.fields(desc) })
		}
		if s.counts {
			nested(ae, setExpr, func(e *encoder) { expression(e, &expr.Counter{}) })
		}
	})
}

// fields are the sizes of a key's parts, without which nft crashes.
func (s set) fields(desc *encoder) {
	nested(desc, setDescConcat, func(all *encoder) {
		for _, value := range append([]nftables.SetDatatype{nftables.TypeIFName}, s.values...) {
			nested(all, unix.NFTA_LIST_ELEM, func(field *encoder) { field.Uint32(1, value.Bytes) })
		}
	})
}

func (b *batch) chain(ch chain) {
	b.add(unix.NFT_MSG_NEWCHAIN, netlink.Create, func(ae *encoder) {
		ae.String(unix.NFTA_CHAIN_TABLE, tableName)
		ae.String(unix.NFTA_CHAIN_NAME, ch.name)
		if ch.hook == nil {
			return
		}
		nested(ae, unix.NFTA_CHAIN_HOOK, func(hook *encoder) {
			hook.Uint32(unix.NFTA_HOOK_HOOKNUM, uint32(*ch.hook))
			hook.Uint32(unix.NFTA_HOOK_PRIORITY, uint32(ch.priority))
		})
		ae.Uint32(unix.NFTA_CHAIN_POLICY, uint32(nftables.ChainPolicyAccept))
		ae.String(unix.NFTA_CHAIN_TYPE, string(nftables.ChainTypeFilter))
	})
}

func (b *batch) rule(r placedRule) {
	b.add(unix.NFT_MSG_NEWRULE, netlink.Create|netlink.Append, func(ae *encoder) {
		ae.String(unix.NFTA_RULE_TABLE, tableName)
		ae.String(unix.NFTA_RULE_CHAIN, r.chain)
		nested(ae, unix.NFTA_RULE_EXPRESSIONS, func(list *encoder) {
			for _, e := range r.exprs {
				nested(list, unix.NFTA_LIST_ELEM, func(one *encoder) { expression(one, e) })
			}
		})
		ae.Bytes(unix.NFTA_RULE_USERDATA, userdata.AppendString(nil, userdata.TypeComment, r.note))
	})
}

// expression puts name and data of e, which the library encodes.
func expression(ae *encoder, e expr.Any) {
	encoded, err := expr.Marshal(unix.NFPROTO_BRIDGE, e)
	var attrs []netlink.Attribute
	if err == nil {
		attrs, err = netlink.UnmarshalAttributes(encoded)
	}
	for _, a := range attrs {
		ae.Bytes(a.Type, a.Data)
	}
	if err != nil {
		ae.Do(0, func() ([]byte, error) { return nil, err })
	}
}

func (b *batch) elements(message uint16, set string, els []element) {
	b.add(message, netlink.Create, func(ae *encoder) {
		ae.String(unix.NFTA_SET_ELEM_LIST_TABLE, tableName)
		ae.String(unix.NFTA_SET_ELEM_LIST_SET, set)
		nested(ae, unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(list *encoder) {
			for _, e := range els {
				nested(list, unix.NFTA_LIST_ELEM, func(one *encoder) { e.encode(one, message == unix.NFT_MSG_DELSETELEM) })
			}
		})
	})
}

func (e element) encode(ae *encoder, keyOnly bool) {
	nested(ae, unix.NFTA_SET_ELEM_KEY, func(k *encoder) { k.Bytes(unix.NFTA_DATA_VALUE, []byte(e.key)) })
	if keyOnly {
		return
	}
	if e.note != "" {
		ae.Bytes(unix.NFTA_SET_ELEM_USERDATA, userdata.AppendString(nil, userdata.NFTNL_UDATA_SET_ELEM_COMMENT, e.note))
	}
	if l := e.limit; l != (limit{}) {
		over := &expr.Limit{Type: expr.LimitTypePkts, Rate: uint64(l.rate), Unit: expr.LimitTimeSecond, Burst: l.burst, Over: true}
		nested(ae, unix.NFTA_SET_ELEM_EXPR, func(x *encoder) { expression(x, over) })
	}
}

// sealed returns the batch between the messages that begin and end it. Only the
// last message asks to be acknowledged: a failure is told anyway.
func (b *batch) sealed() []netlink.Message {
	mark := func(kind netlink.HeaderType) netlink.Message {
		return netlink.Message{
			Header: netlink.Header{Type: kind, Flags: netlink.Request},
			Data:   nfgenmsg(unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES),
		}
	}
	sealed := append([]netlink.Message{mark(unix.NFNL_MSG_BATCH_BEGIN)}, b.messages...)
	sealed[len(sealed)-1].Header.Flags |= netlink.Acknowledge
	return append(sealed, mark(unix.NFNL_MSG_BATCH_END))
}
