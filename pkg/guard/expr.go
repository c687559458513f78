package guard

import (
	"slices"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// match is a part of a rule. Every part loads what it looks at anew, into the
// first of nftables' 16-byte registers, a second value beside it.
type match []expr.Any

const (
	first  = unix.NFT_REG_1
	second = unix.NFT_REG_2
)

// rule is its matches, all of which must hold, and what is then done.
func rule(parts ...match) []expr.Any { return slices.Concat(parts...) }

// load reads part of a frame: from the Ethernet header, the network header or
// the transport header.
type load struct {
	base           expr.PayloadBase
	offset, length uint32
}

func ether(offset, length uint32) load {
	return load{expr.PayloadBaseLLHeader, offset, length}
}

func network(offset, length uint32) load {
	return load{expr.PayloadBaseNetworkHeader, offset, length}
}

func transport(offset, length uint32) load {
	return load{expr.PayloadBaseTransportHeader, offset, length}
}

func (l load) into(register uint32) *expr.Payload {
	return &expr.Payload{DestRegister: register, Base: l.base, Offset: l.offset, Len: l.length}
}

func (l load) is(value ...byte) match {
	return match{l.into(first), &expr.Cmp{Op: expr.CmpOpEq, Register: first, Data: value}}
}

func (l load) isNot(value ...byte) match {
	return match{l.into(first), &expr.Cmp{Op: expr.CmpOpNeq, Register: first, Data: value}}
}

// neither: one byte that is none of the two.
func (l load) neither(a, b byte) match {
	return append(l.isNot(a), &expr.Cmp{Op: expr.CmpOpNeq, Register: first, Data: []byte{b}})
}

// within compares as bytes in network order.
func (l load) within(from, to []byte) match {
	return match{
		l.into(first),
		&expr.Cmp{Op: expr.CmpOpGte, Register: first, Data: from},
		&expr.Cmp{Op: expr.CmpOpLte, Register: first, Data: to},
	}
}

func (l load) masked(mask []byte, op expr.CmpOp, value []byte) match {
	return match{
		l.into(first),
		&expr.Bitwise{SourceRegister: first, DestRegister: first, Len: l.length, Mask: mask, Xor: make([]byte, l.length)},
		&expr.Cmp{Op: op, Register: first, Data: value},
	}
}

// in: the port's name together with what is loaded is in the set.
func (l load) in(set string) match { return l.lookup(set, false) }

func (l load) notIn(set string) match { return l.lookup(set, true) }

func (l load) lookup(set string, invert bool) match {
	return match{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: first},
		l.into(second),
		&expr.Lookup{SourceRegister: first, SetName: set, Invert: invert},
	}
}

// macAndType loads the source MAC and behind it the EtherType, which stands where
// a MAC in a set is padded: isIPv4 sees behind a tag, this does not.
func macAndType() load { return ether(6, 8) }

// isSender4: the port's name, source MAC, type and IPv4 source are in the set.
func isSender4() match {
	return match{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: first},
		macAndType().into(second),
		network(12, 4).into(unix.NFT_REG32_06),
		&expr.Lookup{SourceRegister: first, SetName: setSender4},
	}
}

// isTagged: the frame bears an 802.1Q tag, which the kernel has taken off and
// puts back for who loads the Ethernet header.
func isTagged() match { return ether(12, 2).is(0x81, 0x00) }

// isInTrunk: the port's name and the tag's VID, without its priority, are in the
// set.
func isInTrunk() match {
	return match{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: first},
		ether(14, 2).into(second),
		&expr.Bitwise{SourceRegister: second, DestRegister: second, Len: 2, Mask: []byte{0x0f, 0xff}, Xor: []byte{0, 0}},
		&expr.Lookup{SourceRegister: first, SetName: setTrunk},
	}
}

// isMulticast: the frame is for several, as the kernel has told by its
// destination when it came in; what is for one host is for this or another.
func isMulticast() match {
	const thisHost, otherHost = 0, 3 // PACKET_HOST, PACKET_OTHERHOST
	return match{
		&expr.Meta{Key: expr.MetaKeyPKTTYPE, Register: first},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: first, Data: []byte{thisHost}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: first, Data: []byte{otherHost}},
	}
}

// portIn: the name of the link that a frame came from, or leaves by, is in the
// set.
func portIn(key expr.MetaKey, set string) match {
	return match{&expr.Meta{Key: key, Register: first}, &expr.Lookup{SourceRegister: first, SetName: set}}
}

// isPod: the link's name begins with prefix.
func isPod(key expr.MetaKey, prefix string) match { return named(key, expr.CmpOpEq, prefix) }

func isNoPod(key expr.MetaKey, prefix string) match { return named(key, expr.CmpOpNeq, prefix) }

func named(key expr.MetaKey, op expr.CmpOp, prefix string) match {
	return match{&expr.Meta{Key: key, Register: first}, &expr.Cmp{Op: op, Register: first, Data: []byte(prefix)}}
}

// carries: the packet's transport protocol, found behind IPv4 options and IPv6
// extension headers.
func carries(protocol byte) match {
	return match{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: first}, &expr.Cmp{Op: expr.CmpOpEq, Register: first, Data: []byte{protocol}}}
}

// wellFormed: the kernel could parse the IP header as far as a transport
// protocol; in what it could not, no later header can be looked at either. (255
// is reserved and stands for no protocol.)
func wellFormed() match {
	return match{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: first}, &expr.Cmp{Op: expr.CmpOpNeq, Register: first, Data: []byte{255}}}
}

// isIPv4 looks at the inner protocol, whatever tag a frame still bears.
func isIPv4() match {
	return match{&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: first}, &expr.Cmp{Op: expr.CmpOpEq, Register: first, Data: binaryutil.BigEndian.PutUint16(unix.ETH_P_IP)}}
}

// isFragment: an IPv6 fragment header is present.
func isFragment() match {
	const fragmentHeader, present = 44, 1
	return match{
		&expr.Exthdr{DestRegister: first, Type: fragmentHeader, Len: 1, Flags: present, Op: expr.ExthdrOpIpv6},
		&expr.Cmp{Op: expr.CmpOpEq, Register: first, Data: []byte{1}},
	}
}

func accept() match { return match{&expr.Verdict{Kind: expr.VerdictAccept}} }

func jump(chain string) match {
	return match{&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain}}
}

// call goes to the chain; what that one neither accepts nor drops comes back.
func call(chain string) match {
	return match{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}
}

func back() match { return match{&expr.Verdict{Kind: expr.VerdictReturn}} }

// drop drops the frame and counts it as of this kind.
func drop(kind string) match { return jump(chainDrop + kind) }

// count counts the frame under the name.
func count(counter string) match {
	return match{&expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: counter}}
}

// countFor counts the frame for its port, which must be in the set.
func countFor(port expr.MetaKey, kind int) match {
	return match{
		&expr.Meta{Key: port, Register: first},
		&expr.Immediate{Register: second, Data: index(kind)},
		&expr.Lookup{SourceRegister: first, SetName: setDrops},
	}
}
