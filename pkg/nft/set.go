package nft

import (
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// The kernel's names for what the libraries keep to themselves.
const (
	setFlagConcat = 0x80 // NFT_SET_CONCAT
	setDescConcat = 2    // NFTA_SET_DESC_CONCAT
	setFieldLen   = 1    // NFTA_SET_FIELD_LEN
	setExpr       = 0x11 // NFTA_SET_EXPR
)

// Order is the byte order of a number in a set, for nft, which prints no names
// without it.
type Order uint32

// The orders, as nft's library has them.
const (
	HostOrder    Order = 1
	NetworkOrder Order = 2
)

// Set is a set, or with a Value a map.
type Set struct {
	Name string
	// Key are the types of a key's parts: several are a concatenation, each part
	// padded to 4 bytes, and have no Order.
	Key   []nftables.SetDatatype
	Value *nftables.SetDatatype
	Order Order
	// Interval: elements are where intervals begin and end.
	Interval bool
	// Counts: each element has a counter.
	Counts bool
}

// KeyType is the type of the set's keys.
func (s Set) KeyType() nftables.SetDatatype {
	if len(s.Key) == 1 {
		return s.Key[0]
	}
	return nftables.MustConcatSetType(s.Key...)
}

func (s Set) flags() uint32 {
	var flags uint32
	if len(s.Key) > 1 {
		flags |= setFlagConcat
	}
	if s.Interval {
		flags |= unix.NFT_SET_INTERVAL
	}
	if s.Value != nil {
		flags |= unix.NFT_SET_MAP
	}
	return flags
}

// AddSet adds a set; id is its name within the batch.
func (b *Batch) AddSet(s Set, id uint32) {
	b.add(unix.NFT_MSG_NEWSET, 0, s.Name, func(ae *Encoder) {
		ae.String(unix.NFTA_SET_TABLE, b.table.Name)
		ae.String(unix.NFTA_SET_NAME, s.Name)
		ae.Uint32(unix.NFTA_SET_ID, id)
		key := s.KeyType()
		ae.Uint32(unix.NFTA_SET_KEY_TYPE, key.GetNFTMagic())
		ae.Uint32(unix.NFTA_SET_KEY_LEN, key.Bytes)
		ae.Uint32(unix.NFTA_SET_FLAGS, s.flags())
		if s.Value != nil {
			ae.Uint32(unix.NFTA_SET_DATA_TYPE, s.Value.GetNFTMagic())
			ae.Uint32(unix.NFTA_SET_DATA_LEN, s.Value.Bytes)
		}
		if len(s.Key) > 1 {
			nested(ae, unix.NFTA_SET_DESC, s.fields)
		} else {
			ae.Bytes(unix.NFTA_SET_USERDATA, s.order())
		}
		if s.Counts {
			nested(ae, setExpr, func(e *Encoder) { expression(e, b.table.Family, &expr.Counter{}) })
		}
	})
}

// fields are the sizes of a key's parts, without which nft crashes.
func (s Set) fields(desc *Encoder) {
	nested(desc, setDescConcat, func(all *Encoder) {
		for _, part := range s.Key {
			nested(all, unix.NFTA_LIST_ELEM, func(field *Encoder) { field.Uint32(setFieldLen, part.Bytes) })
		}
	})
}

func (s Set) order() []byte {
	order := userdata.AppendUint32(nil, userdata.NFTNL_UDATA_SET_KEYBYTEORDER, uint32(s.Order))
	if s.Value != nil {
		order = userdata.AppendUint32(order, userdata.NFTNL_UDATA_SET_DATABYTEORDER, uint32(s.Order))
	}
	return order
}
