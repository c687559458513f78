package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

const (
	etherARP = 0x0806
	arpLen   = 28

	// The fields of RFC 826, and where they stand in the frame.
	arpHardware  = 1
	arpSizes     = 6<<8 | 4
	opRequest    = 1
	opReply      = 2
	arpOp        = etherLen + 6
	arpSenderMAC = etherLen + 8
	arpSenderIP  = etherLen + 14
	arpTargetMAC = etherLen + 18
	arpTargetIP  = etherLen + 24
)

// ARP is an ARP packet for IPv4 over Ethernet (RFC 826), a request unless Reply
// is set. Requests go to the broadcast address, replies to TargetMAC.
type ARP struct {
	Reply                bool
	SenderMAC, TargetMAC MAC
	SenderIP, TargetIP   netip.Addr
}

// isProbe follows RFC 5227 §1.1.
func (p ARP) isProbe() bool { return !p.Reply && p.SenderIP == netip.IPv4Unspecified() }

// frame builds the Ethernet II frame.
func (p ARP) frame() ([]byte, error) {
	if !p.SenderIP.Is4() || !p.TargetIP.Is4() {
		return nil, fmt.Errorf("ARP from %s about %s: %w: both have to be IPv4", p.SenderIP, p.TargetIP, unix.EAFNOSUPPORT)
	}
	to, op := MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, uint16(opRequest)
	if p.Reply {
		to, op = p.TargetMAC, opReply
	}
	b := make([]byte, 0, etherLen+arpLen)
	b = append(b, to[:]...)
	b = append(b, p.SenderMAC[:]...)
	for _, field := range [...]uint16{etherARP, arpHardware, etherIPv4, arpSizes, op} {
		b = binary.BigEndian.AppendUint16(b, field)
	}
	b = append(b, p.SenderMAC[:]...)
	b = append(b, p.SenderIP.AsSlice()...)
	b = append(b, p.TargetMAC[:]...)
	return append(b, p.TargetIP.AsSlice()...), nil
}

// parseARP reads a frame; ok is false for what is no whole request or reply in
// untagged Ethernet. What stands behind is the frame's padding.
func parseARP(frame []byte) (p ARP, ok bool) {
	if len(frame) < etherLen+arpLen {
		return ARP{}, false
	}
	for i, want := range [...]uint16{etherARP, arpHardware, etherIPv4, arpSizes} {
		if binary.BigEndian.Uint16(frame[12+2*i:]) != want {
			return ARP{}, false
		}
	}
	op := binary.BigEndian.Uint16(frame[arpOp:])
	return ARP{
		Reply:     op == opReply,
		SenderMAC: MAC(frame[arpSenderMAC:arpSenderIP]),
		SenderIP:  netip.AddrFrom4([4]byte(frame[arpSenderIP:arpTargetMAC])),
		TargetMAC: MAC(frame[arpTargetMAC:arpTargetIP]),
		TargetIP:  netip.AddrFrom4([4]byte(frame[arpTargetIP : etherLen+arpLen])),
	}, op == opRequest || op == opReply
}
