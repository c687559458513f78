package leg

import (
	"encoding/binary"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// masqueradeMark is the bit by which kube-proxy, in every mode, tells its own
// rule what to masquerade (its default, iptables.masqueradeBit 14).
const masqueradeMark = 1 << 14

// translation is a rule with the note by which it is known again, and what the
// kernel must have for it.
type translation struct {
	note, needs string
	exprs       []expr.Any
}

// The registers: the address that is looked at, and the node's.
const (
	seen = unix.NFT_REG_1
	node = unix.NFT_REG_2
)

// translations are the table's rules.
func translations() []translation {
	return []translation{
		{
			// As the Pod asked, before anybody translated: IPVS leaves no other trace.
			note:  "1: a Pod asks a Service",
			needs: "nf_tables' connection tracking (CONFIG_NFT_CT)",
			exprs: slices.Concat(nodeOf(sourceAddr, setClients), askedFor(setServices), asNode()),
		},
		{
			note:  "1: kube-proxy masquerades towards a Pod",
			needs: "nf_tables' NAT (CONFIG_NFT_NAT, CONFIG_NF_NAT)",
			exprs: slices.Concat(marked(masqueradeMark), nodeOf(destinationAddr, setPods), asNode()),
		},
	}
}

// Where the addresses stand in an IPv4 header.
const (
	sourceAddr      = 12
	destinationAddr = 16
)

// nodeOf: the set has the packet's address, and the node's address to it.
func nodeOf(offset uint32, set string) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: seen, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Lookup{SourceRegister: seen, DestRegister: node, IsDestRegSet: true, SetName: set},
	}
}

// askedFor: the set has the destination that the connection's first packet came
// with.
func askedFor(set string) []expr.Any {
	const original = 0 // IP_CT_DIR_ORIGINAL
	return []expr.Any{
		// At the older key, NFT_CT_DST, which says no family, nft crashes.
		&expr.Ct{Register: seen, Key: unix.NFT_CT_DST_IP, Direction: original},
		&expr.Lookup{SourceRegister: seen, SetName: set},
	}
}

func marked(bit uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: seen},
		&expr.Bitwise{
			SourceRegister: seen, DestRegister: seen, Len: 4,
			Mask: binary.NativeEndian.AppendUint32(nil, bit), Xor: make([]byte, 4),
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: seen, Data: binaryutil.NativeEndian.PutUint32(0)},
	}
}

// asNode gives the connection the node's address. The port is any, as
// kube-proxy has it: two Pods that take the same one at the same moment would
// lose a packet.
func asNode() []expr.Any {
	return []expr.Any{&expr.NAT{
		Type: expr.NATTypeSourceNAT, Family: uint32(nftables.TableFamilyIPv4),
		RegAddrMin: node, FullyRandom: true,
	}}
}
