package ether

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// IPv4 is an unfragmented IPv4 packet.
type IPv4 struct {
	Src, Dst netip.Addr
	Protocol uint8
	Payload  []byte
}

// UDP is a UDP datagram over IPv4.
type UDP struct {
	Src, Dst netip.AddrPort
	Payload  []byte
}

// IPv4 returns the frame's IPv4 packet; false for a fragment.
func (f Frame) IPv4() (IPv4, bool) {
	p := f.Payload
	if f.EtherType != unix.ETH_P_IP || len(p) < 20 || p[0]>>4 != 4 {
		return IPv4{}, false
	}
	headLen, total := int(p[0]&0xf)*4, int(binary.BigEndian.Uint16(p[2:4]))
	fragment := binary.BigEndian.Uint16(p[6:8])&0x3fff != 0 // more fragments, or an offset
	if fragment || headLen < 20 || total < headLen || total > len(p) {
		return IPv4{}, false
	}
	return IPv4{Src: addr4(p[12:16]), Dst: addr4(p[16:20]), Protocol: p[9], Payload: p[headLen:total]}, true
}

// UDP returns the frame's datagram. Its checksum is not looked at: on a veth
// the sender's kernel leaves it to hardware that does not exist.
func (f Frame) UDP() (UDP, bool) {
	ip, ok := f.IPv4()
	if !ok || ip.Protocol != unix.IPPROTO_UDP || len(ip.Payload) < 8 {
		return UDP{}, false
	}
	h := ip.Payload
	length := int(binary.BigEndian.Uint16(h[4:6]))
	if length < 8 || length > len(h) {
		return UDP{}, false
	}
	return UDP{
		Src:     netip.AddrPortFrom(ip.Src, binary.BigEndian.Uint16(h[0:2])),
		Dst:     netip.AddrPortFrom(ip.Dst, binary.BigEndian.Uint16(h[2:4])),
		Payload: h[8:length],
	}, true
}

// UDPFrame writes a datagram into a frame, checksums included.
func UDPFrame(dst, src net.HardwareAddr, u UDP) []byte {
	from, to := u.Src.Addr().As4(), u.Dst.Addr().As4()
	d := binary.BigEndian.AppendUint16(nil, u.Src.Port())
	d = binary.BigEndian.AppendUint16(d, u.Dst.Port())
	d = binary.BigEndian.AppendUint16(d, uint16(8+len(u.Payload)))
	d = append(d, 0, 0)
	d = append(d, u.Payload...)
	pseudo := append(append(from[:], to[:]...), 0, unix.IPPROTO_UDP, d[4], d[5])
	sum := Checksum(append(pseudo, d...))
	if sum == 0 {
		sum = 0xffff // RFC 768: zero means "none"
	}
	binary.BigEndian.PutUint16(d[6:8], sum)
	return Ethernet(dst, src, unix.ETH_P_IP, ipv4(u.Src.Addr(), u.Dst.Addr(), unix.IPPROTO_UDP, d))
}

// IPv4Frame writes a packet into a frame.
func IPv4Frame(dstMAC, srcMAC net.HardwareAddr, src, dst netip.Addr, protocol byte, payload []byte) []byte {
	return Ethernet(dstMAC, srcMAC, unix.ETH_P_IP, ipv4(src, dst, protocol, payload))
}

func ipv4(src, dst netip.Addr, protocol byte, payload []byte) []byte {
	h := make([]byte, 20, 20+len(payload))
	h[0], h[8], h[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(h[2:4], uint16(20+len(payload)))
	copy(h[12:16], src.AsSlice())
	copy(h[16:20], dst.AsSlice())
	binary.BigEndian.PutUint16(h[10:12], Checksum(h))
	return append(h, payload...)
}

// Checksum is the Internet checksum (RFC 1071).
func Checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
