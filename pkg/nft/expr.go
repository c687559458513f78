package nft

import (
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Match is a rule, or a part of one.
type Match []expr.Any

// What parts of a rule load into: the first of nftables' 16-byte registers, and a
// second value beside it.
const (
	First  = unix.NFT_REG_1
	Second = unix.NFT_REG_2
)

// Value is what a rule looks at; every look loads it anew.
type Value struct {
	into func(register uint32) expr.Any
}

// Ether is part of the Ethernet header; offset and length are in bytes.
func Ether(offset, length uint32) Value { return payload(expr.PayloadBaseLLHeader, offset, length) }

// Network is part of the network header, and of what is behind it.
func Network(offset, length uint32) Value {
	return payload(expr.PayloadBaseNetworkHeader, offset, length)
}

// Transport is part of the transport header, and of what is behind it.
func Transport(offset, length uint32) Value {
	return payload(expr.PayloadBaseTransportHeader, offset, length)
}

func payload(base expr.PayloadBase, offset, length uint32) Value {
	return Value{func(register uint32) expr.Any {
		return &expr.Payload{DestRegister: register, Base: base, Offset: offset, Len: length}
	}}
}

// Meta is what the kernel knows of a packet.
func Meta(key expr.MetaKey) Value {
	return Value{func(register uint32) expr.Any { return &expr.Meta{Key: key, Register: register} }}
}

// Into loads the value.
func (v Value) Into(register uint32) expr.Any { return v.into(register) }

// Is compares the bytes of the value; fewer are its beginning.
func (v Value) Is(value ...byte) Match { return v.compare(expr.CmpOpEq, value) }

// IsNot is the contrary of Is.
func (v Value) IsNot(value ...byte) Match { return v.compare(expr.CmpOpNeq, value) }

func (v Value) compare(op expr.CmpOp, value []byte) Match {
	return Match{v.Into(First), compared(op, value)}
}

// Within compares as bytes in network order.
func (v Value) Within(from, to []byte) Match {
	return Match{v.Into(First), compared(expr.CmpOpGte, from), compared(expr.CmpOpLte, to)}
}

// Masked compares what the mask, which is as long as the value, leaves of it.
func (v Value) Masked(mask []byte, op expr.CmpOp, value []byte) Match {
	return Match{v.Into(First), Mask(First, mask), compared(op, value)}
}

// Mask leaves of what was loaded what the mask has.
func Mask(register uint32, mask []byte) expr.Any {
	return &expr.Bitwise{SourceRegister: register, DestRegister: register, Len: uint32(len(mask)), Mask: mask, Xor: make([]byte, len(mask))}
}

func compared(op expr.CmpOp, value []byte) expr.Any {
	return &expr.Cmp{Op: op, Register: First, Data: value}
}

// In looks whether the set has what was loaded into First and behind it.
func In(set string) expr.Any { return &expr.Lookup{SourceRegister: First, SetName: set} }

// expression puts name and data of e. All but a connection's, the library encodes.
func expression(ae *Encoder, family byte, e expr.Any) {
	if ct, ok := e.(*expr.Ct); ok && isDirected(ct.Key) {
		directed(ae, ct)
		return
	}
	encoded, err := expr.Marshal(family, e)
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

// isDirected tells whether the key is part of a connection's addresses, which
// differ by direction: the library leaves that out, or writes it too wide.
func isDirected(key expr.CtKey) bool {
	switch key {
	case expr.CtKeySRC, expr.CtKeyDST, expr.CtKeyPROTOCOL, expr.CtKeyPROTOSRC, expr.CtKeyPROTODST,
		unix.NFT_CT_SRC_IP, unix.NFT_CT_DST_IP, unix.NFT_CT_SRC_IP6, unix.NFT_CT_DST_IP6:
		return true
	default:
		return false
	}
}

func directed(ae *Encoder, ct *expr.Ct) {
	ae.String(unix.NFTA_EXPR_NAME, "ct")
	nested(ae, unix.NFTA_EXPR_DATA, func(data *Encoder) {
		data.Uint32(unix.NFTA_CT_KEY, uint32(ct.Key))
		data.Uint32(unix.NFTA_CT_DREG, ct.Register)
		data.Uint8(unix.NFTA_CT_DIRECTION, uint8(ct.Direction))
	})
}
