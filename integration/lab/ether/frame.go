// Package ether reads and writes Ethernet frames for the lab: what hosts, the
// embedded DHCP server and captures see of the wire. It is written apart from
// the product's own pkg/wire on purpose: a test must not share its subject's
// mistakes.
package ether

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"
)

const (
	headerLen   = 14
	minFrameLen = 60 // IEEE 802.3, without the checksum
)

// Frame is one frame as a packet socket heard it.
type Frame struct {
	At time.Time
	// IfIndex is the interface that the frame came in or went out by.
	IfIndex int
	// Outgoing: sent by the namespace itself. OtherHost: for another MAC.
	Outgoing, OtherHost bool
	// VID is the VLAN of the outermost tag, which the kernel takes out of a frame
	// that it hears, 0 if untagged; TPID that tag's ethertype, 0 if there is none.
	// A priority tag has a TPID and the VID 0. Tags tells those within, too.
	VID, TPID uint16
	// PCP is the outermost tag's priority.
	PCP uint8

	Dst, Src  net.HardwareAddr
	EtherType uint16
	Payload   []byte
}

// Parse splits an Ethernet II frame.
func Parse(b []byte) (Frame, error) {
	if len(b) < headerLen {
		return Frame{}, fmt.Errorf("frame of %d bytes, an Ethernet header has %d", len(b), headerLen)
	}
	return Frame{
		Dst:       net.HardwareAddr(b[0:6]),
		Src:       net.HardwareAddr(b[6:12]),
		EtherType: binary.BigEndian.Uint16(b[12:14]),
		Payload:   b[headerLen:],
	}, nil
}

// Ethernet puts a header before a payload and fills up to the minimum length.
func Ethernet(dst, src net.HardwareAddr, etherType uint16, payload []byte) []byte {
	b := make([]byte, 0, max(minFrameLen, headerLen+len(payload)))
	b = append(b, dst...)
	b = append(b, src...)
	b = binary.BigEndian.AppendUint16(b, etherType)
	b = append(b, payload...)
	return append(b, make([]byte, max(0, minFrameLen-len(b)))...)
}

// Broadcast returns ff:ff:ff:ff:ff:ff.
func Broadcast() net.HardwareAddr {
	return net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
}

// IsBroadcast tells whether a MAC is the broadcast address.
func IsBroadcast(mac net.HardwareAddr) bool {
	return mac.String() == Broadcast().String()
}

// DHCP returns the DHCPv4 message in the frame.
func (f Frame) DHCP() (*dhcpv4.DHCPv4, bool) {
	u, ok := f.UDP()
	if !ok || (u.Dst.Port() != dhcpv4.ServerPort && u.Dst.Port() != dhcpv4.ClientPort) {
		return nil, false
	}
	m, err := dhcpv4.FromBytes(u.Payload)
	return m, err == nil
}

// String tells a person what the frame is.
func (f Frame) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s > %s", f.Src, f.Dst)
	for _, tag := range f.Tags() {
		fmt.Fprintf(&b, " %s", tag)
	}
	f = f.Inner()
	if m, ok := f.DHCP(); ok {
		u, _ := f.UDP()
		fmt.Fprintf(&b, " %s > %s %s %s", u.Src, u.Dst, m.MessageType(), m.ClientHWAddr)
		return b.String()
	}
	if a, ok := f.ARP(); ok {
		fmt.Fprintf(&b, " %s", a)
		return b.String()
	}
	if p, ok := f.IPv4(); ok {
		fmt.Fprintf(&b, " %s > %s protocol %d", p.Src, p.Dst, p.Protocol)
		return b.String()
	}
	fmt.Fprintf(&b, " ethertype %#04x, %d bytes", f.EtherType, len(f.Payload))
	return b.String()
}

// addr4 returns the IPv4 address at the start of b.
func addr4(b []byte) netip.Addr { return netip.AddrFrom4([4]byte(b[:4])) }

// htons converts to network byte order, as a packet socket's protocol wants it.
func htons(v uint16) uint16 { return v<<8 | v>>8 }

// All is the pseudo ethertype of a socket that hears everything.
const All = unix.ETH_P_ALL
