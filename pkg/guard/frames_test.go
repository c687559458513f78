package guard_test

import (
	"encoding/binary"
	"net/netip"
)

// MACs, as they stand in a frame.
const (
	mac       = "\x02\x00\x00\x00\x00\x05"
	broadcast = "\xff\xff\xff\xff\xff\xff"
	allNodes  = "\x33\x33\x00\x00\x00\x01"
	gateway   = "\xf0\x00\x00\x00\x00\x01"
	victim    = "\xf0\x00\x00\x00\x00\x02"
	stp       = "\x01\x80\xc2\x00\x00\x00"
	pvst      = "\x01\x00\x0c\xcc\xcc\xcd"
)

// EtherTypes.
const (
	typeIP4 = 0x0800
	typeARP = 0x0806
	typeIP6 = 0x86dd
)

func eth(dst, src string, etherType uint16, payload ...[]byte) []byte {
	frame := []byte(dst + src)
	frame = binary.BigEndian.AppendUint16(frame, etherType)
	for _, p := range payload {
		frame = append(frame, p...)
	}
	return frame
}

func arpPacket(operation byte, senderMAC, sender, target string) []byte {
	b := append([]byte{0, 1, 8, 0, 6, 4, 0, operation}, senderMAC...)
	b = append(b, ip(sender)...)
	b = append(b, make([]byte, 6)...)
	return append(b, ip(target)...)
}

func ip(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

// ip4 builds a packet; fragment is the header's flags and offset.
func ip4(src, dst string, protocol byte, fragment uint16, payload []byte) []byte {
	b := []byte{0x45, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(20+len(payload)+markSize))
	b = append(b, 0, 1)
	b = binary.BigEndian.AppendUint16(b, fragment)
	b = append(b, 64, protocol, 0, 0)
	b = append(append(b, ip(src)...), ip(dst)...)
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum))
	return append(b, payload...)
}

func udp(sport, dport uint16, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, sport)
	b = binary.BigEndian.AppendUint16(b, dport)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)+markSize))
	return append(append(b, 0, 0), payload...)
}

// bootp builds a BOOTP header of 240 bytes, magic cookie included.
func bootp(op byte, chaddr, ciaddr, giaddr string) []byte {
	b := make([]byte, 240)
	b[0], b[1], b[2] = op, 1, 6
	copy(b[12:], ip(ciaddr))
	copy(b[24:], ip(giaddr))
	copy(b[28:], chaddr)
	copy(b[236:], []byte{99, 130, 83, 99})
	return b
}

func ip6(src, dst string, next byte, payload []byte) []byte {
	b := []byte{0x60, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)+markSize))
	b = append(b, next, 255)
	return append(append(append(b, ip(src)...), ip(dst)...), payload...)
}

// icmp6 builds a message with its four reserved bytes and what follows.
func icmp6(kind byte, body []byte) []byte { return append([]byte{kind, 0, 0, 0, 0, 0, 0, 0}, body...) }

// behind puts an IPv6 extension header before a payload.
func behind(next byte, payload []byte) []byte {
	return append([]byte{next, 0, 1, 4, 0, 0, 0, 0}, payload...)
}

// firstFragment puts a fragment header before a payload, more to follow.
func firstFragment(next byte, payload []byte) []byte {
	return append([]byte{next, 0, 0, 1, 0, 0, 0, 1}, payload...)
}
