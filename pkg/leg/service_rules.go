package leg

import (
	"encoding/binary"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/nft"
)

// masqueradeMark is the bit by which kube-proxy, in every mode, tells its own
// rule what to masquerade (its default, iptables.masqueradeBit 14).
const masqueradeMark = 1 << 14

// translation is a rule with the note by which it is known again, and what the
// kernel must have for it.
type translation struct {
	note, needs string
	match       nft.Match
}

// The registers: the address that is looked at, and the node's.
const (
	seen = nft.First
	node = nft.Second
)

// translations are the table's rules.
func translations() []translation {
	return []translation{
		{
			// As the Pod asked, before anybody translated: IPVS leaves no other trace.
			note:  "1: a Pod asks a Service",
			needs: "nf_tables' connection tracking (CONFIG_NFT_CT)",
			match: slices.Concat(nodeOf(sourceAddr, setClients), askedFor(setServices), asNode()),
		},
		{
			note:  "1: kube-proxy masquerades towards a Pod",
			needs: "nf_tables' NAT (CONFIG_NFT_NAT, CONFIG_NF_NAT)",
			match: slices.Concat(marked(masqueradeMark), nodeOf(destinationAddr, setPods), asNode()),
		},
	}
}

// Where the addresses stand in an IPv4 header.
const (
	sourceAddr      = 12
	destinationAddr = 16
)

// nodeOf: the set has the packet's address, and the node's address to it.
func nodeOf(offset uint32, set string) nft.Match {
	return nft.Match{
		nft.Network(offset, 4).Into(seen),
		&expr.Lookup{SourceRegister: seen, DestRegister: node, IsDestRegSet: true, SetName: set},
	}
}

// askedFor: the set has the destination that the connection's first packet came
// with.
func askedFor(set string) nft.Match {
	const original = 0 // IP_CT_DIR_ORIGINAL
	// At the older key, NFT_CT_DST, which says no family, nft crashes.
	return nft.Match{&expr.Ct{Register: seen, Key: unix.NFT_CT_DST_IP, Direction: original}, nft.In(set)}
}

func marked(bit uint32) nft.Match {
	return nft.Meta(expr.MetaKeyMARK).Masked(binary.NativeEndian.AppendUint32(nil, bit), expr.CmpOpNeq, make([]byte, 4))
}

// asNode gives the connection the node's address. The port is any, as
// kube-proxy has it: two Pods that take the same one at the same moment would
// lose a packet.
func asNode() nft.Match {
	return nft.Match{&expr.NAT{
		Type: expr.NATTypeSourceNAT, Family: uint32(nftables.TableFamilyIPv4),
		RegAddrMin: node, FullyRandom: true,
	}}
}
