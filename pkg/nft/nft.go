// Package nft speaks nftables over netlink: it builds transactions, and reads
// what tables hold and what changes. It may touch the tables that its callers name,
// in the network namespace of the thread that opens a socket, and nothing of its
// own accord: families, names and rules are its callers', and so is what a
// refusal means to them.
//
// The expressions and types are those of github.com/google/nftables, whose own
// batches can put no limit on a set's element, write the direction of a
// connection wrongly, and do not tell which message was refused.
package nft

import (
	"encoding/binary"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Table is where it all belongs: Family is NFPROTO_*.
type Table struct {
	Family byte
	Name   string
}

type (
	// Encoder writes a message's attributes, in network byte order.
	Encoder = netlink.AttributeEncoder
	// Decoder reads them.
	Decoder = netlink.AttributeDecoder
)

// headerSize is that of struct nfgenmsg, which begins every message, in bytes.
const headerSize = 4

func header(family byte, resource uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{family, unix.NFNETLINK_V0}, resource)
}

// Request is a message, NFT_MSG_*, about a family's tables.
func Request(family byte, kind uint16, flags netlink.HeaderFlags, fill func(*Encoder)) (netlink.Message, error) {
	ae := netlink.NewAttributeEncoder()
	ae.ByteOrder = binary.BigEndian
	fill(ae)
	attrs, err := ae.Encode()
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind), Flags: netlink.Request | flags},
		Data:   append(header(family, 0), attrs...),
	}, err
}

// nested is Nested for what cannot fail.
func nested(ae *Encoder, kind uint16, fill func(*Encoder)) {
	ae.Nested(kind, func(inner *Encoder) error {
		fill(inner)
		return nil
	})
}
