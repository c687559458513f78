package wire

import (
	"encoding/binary"
	"net/netip"
)

// checksum is the Internet checksum (RFC 1071) over b, begun with sum. Over
// data that holds its own checksum it is zero.
func checksum(sum uint32, b []byte) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// pseudo sums the pseudo header of RFC 768: IPv4 addresses, protocol, and the
// length of UDP header and payload in bytes.
func pseudo(src, dst netip.Addr, length int) uint32 {
	sum := uint32(protoUDP) + uint32(length)
	for _, a := range [...][4]byte{src.As4(), dst.As4()} {
		sum += uint32(binary.BigEndian.Uint16(a[:2])) + uint32(binary.BigEndian.Uint16(a[2:]))
	}
	return sum
}
