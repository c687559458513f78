package wire

import (
	"encoding/binary"
	"net/netip"
)

const (
	// bootReply is the op of what a server sends (RFC 2131 §2).
	bootReply = 2
	// fragmentMask covers More Fragments and the fragment offset.
	fragmentMask = 0x3fff
)

// Message is a DHCP reply as it was heard.
type Message struct {
	// From and To are the frame's addresses; From is the server's or a relay's.
	From, To MAC
	// Src is the IPv4 source, which behind a relay is not the server's.
	Src netip.Addr
	// Payload is the DHCP message, the receiver's own copy. Only its op has been
	// looked at.
	Payload []byte
}

// parse reads a frame; ok is false for what is no whole DHCP reply in untagged
// IPv4. summed tells whether the UDP checksum is complete: a veth peer and the
// node itself leave it partial. The payload aliases the frame.
func parse(frame []byte, summed bool) (m Message, ok bool) {
	if len(frame) < etherLen || binary.BigEndian.Uint16(frame[12:]) != etherIPv4 {
		return Message{}, false
	}
	dst, udp, ok := m.parseIP(frame[etherLen:])
	if !ok || !m.parseUDP(dst, udp, summed) {
		return Message{}, false
	}
	m.To, m.From = MAC(frame[0:6]), MAC(frame[6:12])
	return m, true
}

// parseIP follows RFC 791 §3.1; what stands behind the total length is the
// frame's padding.
func (m *Message) parseIP(b []byte) (dst netip.Addr, udp []byte, ok bool) {
	if len(b) < ipLen || b[0]>>4 != 4 || b[9] != protoUDP {
		return netip.Addr{}, nil, false
	}
	head, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	if head < ipLen || total < head+udpLen || len(b) < total {
		return netip.Addr{}, nil, false
	}
	if binary.BigEndian.Uint16(b[6:])&fragmentMask != 0 || checksum(0, b[:head]) != 0 {
		return netip.Addr{}, nil, false
	}
	m.Src = netip.AddrFrom4([4]byte(b[12:16]))
	return netip.AddrFrom4([4]byte(b[16:20])), b[head:total], true
}

// parseUDP follows RFC 768. Any source port will do: some relays answer from
// one of their own.
func (m *Message) parseUDP(dst netip.Addr, b []byte, summed bool) bool {
	size := int(binary.BigEndian.Uint16(b[4:]))
	if size <= udpLen || size > len(b) || binary.BigEndian.Uint16(b[2:]) != clientPort {
		return false
	}
	sent := binary.BigEndian.Uint16(b[6:])
	if summed && sent != 0 && checksum(pseudo(m.Src, dst, size), b[:size]) != 0 {
		return false
	}
	m.Payload = b[udpLen:size]
	return m.Payload[0] == bootReply
}
