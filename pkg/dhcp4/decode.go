package dhcp4

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// ErrNotReply is returned by Decode for what is no BOOTREPLY over Ethernet
// with a DHCP message type.
var ErrNotReply = errors.New("not a DHCP reply")

// Layout of a message, RFC 2131 §2.
const (
	snameOffset   = 44
	fileOffset    = 108
	cookieOffset  = 236
	optionsOffset = 240

	optPad      = 0
	optOverload = 52
	optEnd      = 255
)

// Type is a DHCP message type (option 53), printable as RFC 2131 names it
// without the prefix DHCP.
type Type = dhcpv4.MessageType

// Reply is a message from a server, decoded.
type Reply struct {
	Type Type
	XID  uint32
	// Client is chaddr.
	Client MAC
	// From is the Ethernet source; the receiver fills it in.
	From MAC

	msg *dhcpv4.DHCPv4
}

// Decode reads a UDP payload. It is more patient than the codec: options that
// overflow into sname and file are found (option 52, RFC 2131 §4.1), a missing
// END is no error, and an option that runs over its field's end costs only
// itself. Instances of one option are joined (RFC 3396). ErrNotReply if it is
// none.
func Decode(b []byte) (Reply, error) {
	if len(b) < optionsOffset {
		return Reply{}, fmt.Errorf("%w: %d bytes, at least %d wanted", ErrNotReply, len(b), optionsOffset)
	}
	// The codec reads the fixed part; the options are read here.
	head := make([]byte, optionsOffset+1)
	copy(head, b[:optionsOffset])
	head[optionsOffset] = optEnd
	msg, err := dhcpv4.FromBytes(head)
	if err != nil {
		return Reply{}, fmt.Errorf("%w: %w", ErrNotReply, err)
	}
	msg.Options = decodeOptions(b)
	if msg.OpCode != dhcpv4.OpcodeBootReply || len(msg.ClientHWAddr) != len(MAC{}) {
		return Reply{}, ErrNotReply
	}
	kind := msg.MessageType()
	if kind == dhcpv4.MessageTypeNone {
		return Reply{}, fmt.Errorf("%w: no message type", ErrNotReply)
	}
	return Reply{
		Type:   kind,
		XID:    binary.BigEndian.Uint32(msg.TransactionID[:]),
		Client: MAC(msg.ClientHWAddr),
		msg:    msg,
	}, nil
}

// decodeOptions reads the options field, then file, then sname, the order in
// which RFC 3396 §5 joins them. b holds at least the fixed part.
func decodeOptions(b []byte) dhcpv4.Options {
	opts := make(dhcpv4.Options)
	collect(opts, b[optionsOffset:])
	overload := opts[optOverload]
	delete(opts, optOverload)
	if len(overload) == 0 || overload[0] > 3 {
		return opts // RFC 2132 §9.3
	}
	if overload[0]&1 != 0 {
		collect(opts, b[fileOffset:cookieOffset])
	}
	if overload[0]&2 != 0 {
		collect(opts, b[snameOffset:fileOffset])
	}
	return opts
}

func collect(opts dhcpv4.Options, field []byte) {
	for len(field) > 0 {
		code := field[0]
		if code == optEnd {
			return
		}
		if code == optPad {
			field = field[1:]
			continue
		}
		if len(field) < 2 || len(field) < 2+int(field[1]) {
			return // cut off
		}
		end := 2 + int(field[1])
		opts[code] = append(opts[code], field[2:end]...)
		field = field[end:]
	}
}
