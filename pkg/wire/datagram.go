package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

const (
	etherLen = 14
	ipLen    = 20
	udpLen   = 8
	maxUDP   = 0xffff - ipLen - udpLen

	etherIPv4 = 0x0800
	protoUDP  = 17
	ttl       = 64
	// lowDelay is the type of service that DHCP clients have always used (RFC
	// 1349 §4; dhclient's and dhcpcd's).
	lowDelay = 0x10

	// serverPort and clientPort are those of RFC 2131 §4.1.
	serverPort = 67
	clientPort = 68
)

// Datagram is a DHCP client's message with its addresses: UDP from port 68 to
// port 67.
type Datagram struct {
	SrcMAC, DstMAC MAC
	// Src and Dst are IPv4; 0.0.0.0 and 255.255.255.255 are among them.
	Src, Dst netip.Addr
	// Payload is the DHCP message. Its padding is the caller's.
	Payload []byte
}

// frame builds the Ethernet II frame, checksums included.
func (d Datagram) frame() ([]byte, error) {
	if !d.Src.Is4() || !d.Dst.Is4() {
		return nil, fmt.Errorf("datagram from %s to %s: %w: both have to be IPv4", d.Src, d.Dst, unix.EAFNOSUPPORT)
	}
	if len(d.Payload) > maxUDP {
		return nil, fmt.Errorf("datagram of %d bytes: %w: at most %d", len(d.Payload), unix.EMSGSIZE, maxUDP)
	}
	b := make([]byte, 0, etherLen+ipLen+udpLen+len(d.Payload))
	b = append(b, d.DstMAC[:]...)
	b = append(b, d.SrcMAC[:]...)
	b = binary.BigEndian.AppendUint16(b, etherIPv4)
	return d.appendUDP(d.appendIP(b)), nil
}

// appendIP appends the header of RFC 791 §3.1, without options. The
// identification is 0: no link splits a message of DHCP's size. Don't Fragment
// stays clear, as a relayed message may have to pass a tunnel.
func (d Datagram) appendIP(b []byte) []byte {
	at := len(b)
	b = append(b, 0x45, lowDelay)
	b = binary.BigEndian.AppendUint16(b, uint16(ipLen+udpLen+len(d.Payload)))
	b = append(b, 0, 0, 0, 0, ttl, protoUDP, 0, 0)
	b = append(b, d.Src.AsSlice()...)
	b = append(b, d.Dst.AsSlice()...)
	binary.BigEndian.PutUint16(b[at+10:], checksum(0, b[at:]))
	return b
}

// appendUDP appends the datagram of RFC 768; a checksum that comes to zero is
// sent as all ones, since zero means none.
func (d Datagram) appendUDP(b []byte) []byte {
	at, size := len(b), udpLen+len(d.Payload)
	b = binary.BigEndian.AppendUint16(b, clientPort)
	b = binary.BigEndian.AppendUint16(b, serverPort)
	b = binary.BigEndian.AppendUint16(b, uint16(size))
	b = append(b, 0, 0)
	b = append(b, d.Payload...)
	sum := checksum(pseudo(d.Src, d.Dst, size), b[at:])
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(b[at+6:], sum)
	return b
}
