package wire

import (
	"net/netip"
)

// ARP is an ARP packet for IPv4 over Ethernet (RFC 826), a request unless Reply
// is set. Requests go to the broadcast address, from SenderMAC.
type ARP struct {
	Reply                bool
	SenderMAC, TargetMAC MAC
	SenderIP, TargetIP   netip.Addr
}

// Claim is an address and who of ours has it.
type Claim struct {
	Addr netip.Addr
	MAC  MAC
}

// ARPConn hears and sends ARP on one link: a bridge, from which both the uplink
// and this node's own containers are reached, or another parent of Pods. It is
// safe for concurrent use.
type ARPConn struct{}

// OpenARP opens the link in the calling thread's namespace. Nothing is heard
// before Watch. ErrNoLink if it is missing; a link that is down is none the
// worse.
func OpenARP(link string) (*ARPConn, error) { return nil, ErrNoLink }

// Watch says what is to be heard, from now on and instead of what was: packets
// whose sender claims one of the addresses, and probes for them (sender 0.0.0.0,
// RFC 5227 §2.1.1), unless they come from the claim's own MAC. The kernel drops
// all else.
func (c *ARPConn) Watch(claims []Claim) error { return nil }

// Receive waits for the next ARP packet that Watch wants, as Conn.Receive does.
func (c *ARPConn) Receive() (ARP, error) { return ARP{}, ErrNoLink }

// Send puts one packet on the wire; errors as those of Conn.Send.
func (c *ARPConn) Send(p ARP) error { return ErrNoLink }

// Close ends Receive.
func (c *ARPConn) Close() error { return nil }
