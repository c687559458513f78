package guard

import (
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/nft"
)

// match is a part of a rule.
type match = nft.Match

const (
	first  = nft.First
	second = nft.Second
)

// rule is its matches, all of which must hold, and what is then done.
func rule(parts ...match) match { return slices.Concat(parts...) }

// load is part of a frame: of the Ethernet header, the network header or the
// transport header.
type load struct{ nft.Value }

func ether(offset, length uint32) load { return load{nft.Ether(offset, length)} }

func network(offset, length uint32) load { return load{nft.Network(offset, length)} }

func transport(offset, length uint32) load { return load{nft.Transport(offset, length)} }

// neither: one byte that is none of the two.
func (l load) neither(a, b byte) match { return neither(l.Value, a, b) }

func neither(v nft.Value, a, b byte) match {
	return append(v.IsNot(a), &expr.Cmp{Op: expr.CmpOpNeq, Register: first, Data: []byte{b}})
}

// in: the port's name together with what is loaded is in the set.
func (l load) in(set string) match { return l.lookup(set, false) }

func (l load) notIn(set string) match { return l.lookup(set, true) }

func (l load) lookup(set string, invert bool) match {
	return match{
		nft.Meta(expr.MetaKeyIIFNAME).Into(first),
		l.Into(second),
		&expr.Lookup{SourceRegister: first, SetName: set, Invert: invert},
	}
}

// macAndType loads the source MAC and behind it the EtherType, which stands where
// a MAC in a set is padded: isIPv4 sees behind a tag, this does not.
func macAndType() load { return ether(6, 8) }

// isSender4: the port's name, source MAC, type and IPv4 source are in the set.
func isSender4() match {
	return match{
		nft.Meta(expr.MetaKeyIIFNAME).Into(first),
		macAndType().Into(second),
		network(12, 4).Into(unix.NFT_REG32_06),
		nft.In(setSender4),
	}
}

// isTagged: the frame bears an 802.1Q tag, which the kernel has taken off and
// puts back for who loads the Ethernet header.
func isTagged() match { return ether(12, 2).Is(0x81, 0x00) }

// isInTrunk: the port's name and the tag's VID, without its priority, are in the
// set.
func isInTrunk() match {
	return match{
		nft.Meta(expr.MetaKeyIIFNAME).Into(first),
		ether(14, 2).Into(second),
		nft.Mask(second, []byte{0x0f, 0xff}),
		nft.In(setTrunk),
	}
}

// isMulticast: the frame is for several, as the kernel has told by its
// destination when it came in; what is for one host is for this or another.
func isMulticast() match {
	const thisHost, otherHost = 0, 3 // PACKET_HOST, PACKET_OTHERHOST
	return neither(nft.Meta(expr.MetaKeyPKTTYPE), thisHost, otherHost)
}

// portIn: the name of the link that a frame came from, or leaves by, is in the
// set.
func portIn(key expr.MetaKey, set string) match {
	return match{nft.Meta(key).Into(first), nft.In(set)}
}

// isPod: the link's name begins with prefix.
func isPod(key expr.MetaKey, prefix string) match { return nft.Meta(key).Is([]byte(prefix)...) }

func isNoPod(key expr.MetaKey, prefix string) match { return nft.Meta(key).IsNot([]byte(prefix)...) }

// carries: the packet's transport protocol, found behind IPv4 options and IPv6
// extension headers.
func carries(protocol byte) match { return nft.Meta(expr.MetaKeyL4PROTO).Is(protocol) }

// wellFormed: the kernel could parse the IP header as far as a transport
// protocol; in what it could not, no later header can be looked at either. (255
// is reserved and stands for no protocol.)
func wellFormed() match { return nft.Meta(expr.MetaKeyL4PROTO).IsNot(255) }

// isIPv4 looks at the inner protocol, whatever tag a frame still bears.
func isIPv4() match { return nft.Meta(expr.MetaKeyPROTOCOL).Is(0x08, 0x00) }

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
		nft.Meta(port).Into(first),
		&expr.Immediate{Register: second, Data: index(kind)},
		nft.In(setDrops),
	}
}
