package ether

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Operations of ARP (RFC 826).
const (
	ARPRequest = 1
	ARPReply   = 2
)

// ARP is an ARP packet for IPv4 over Ethernet.
type ARP struct {
	Op                   uint16
	SenderMAC, TargetMAC net.HardwareAddr
	SenderIP, TargetIP   netip.Addr
}

func (a ARP) String() string {
	if a.Op == ARPRequest {
		return fmt.Sprintf("ARP who has %s, tell %s", a.TargetIP, a.SenderIP)
	}
	return fmt.Sprintf("ARP %s is at %s", a.SenderIP, a.SenderMAC)
}

// Gratuitous tells whether the sender speaks about its own address (RFC 5944
// §4.6, RFC 5227 §3).
func (a ARP) Gratuitous() bool { return a.SenderIP == a.TargetIP }

// ARP returns the frame's ARP packet.
func (f Frame) ARP() (ARP, bool) {
	p := f.Payload
	if f.EtherType != unix.ETH_P_ARP || len(p) < 28 {
		return ARP{}, false
	}
	return ARP{
		Op:        binary.BigEndian.Uint16(p[6:8]),
		SenderMAC: net.HardwareAddr(p[8:14]), SenderIP: addr4(p[14:18]),
		TargetMAC: net.HardwareAddr(p[18:24]), TargetIP: addr4(p[24:28]),
	}, true
}

// ARPFrame writes an ARP packet into a frame.
func ARPFrame(dst, src net.HardwareAddr, a ARP) []byte {
	p := []byte{0, 1, 8, 0, 6, 4} // Ethernet, IPv4, their address lengths
	p = binary.BigEndian.AppendUint16(p, a.Op)
	p = append(p, a.SenderMAC...)
	p = append(p, a.SenderIP.AsSlice()...)
	target := a.TargetMAC
	if target == nil {
		target = make(net.HardwareAddr, 6)
	}
	p = append(p, target...)
	p = append(p, a.TargetIP.AsSlice()...)
	return Ethernet(dst, src, unix.ETH_P_ARP, p)
}
