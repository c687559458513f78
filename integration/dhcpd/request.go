package dhcpd

import (
	"encoding/hex"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/lab/ether"
)

// Entry is one message that the server saw or, if Sent, sent.
type Entry struct {
	At   time.Time
	Sent bool
	Type dhcpv4.MessageType
	XID  dhcpv4.TransactionID
	// MAC is chaddr; ClientID is option 61's value, nil if there was none.
	MAC      net.HardwareAddr
	ClientID []byte
	CIAddr   netip.Addr // invalid if 0.0.0.0
	YIAddr   netip.Addr // likewise
	// Requested is option 50, ServerID option 54; invalid if absent.
	Requested, ServerID netip.Addr
	// BroadcastFlag is the client's wish for a broadcast answer.
	BroadcastFlag bool
	Secs          uint16
	Hostname      string
	// Where the frame came from and went to.
	SrcIP, DstIP   netip.Addr
	SrcMAC, DstMAC net.HardwareAddr
	// Known tells of a RELEASE or DECLINE whether the address was the client's.
	Known bool
}

// UnicastL2 tells whether the frame was for one MAC, UnicastL3 whether the
// packet was for one address.
func (e Entry) UnicastL2() bool { return !ether.IsBroadcast(e.DstMAC) }

// UnicastL3 : see UnicastL2.
func (e Entry) UnicastL3() bool { return e.DstIP != limitedBroadcast() }

func limitedBroadcast() netip.Addr { return netip.AddrFrom4([4]byte{255, 255, 255, 255}) }

// Request is a client's message and where it came from.
type Request struct {
	Entry
	Message *dhcpv4.DHCPv4
	server  *Server
	known   *bool // Entry.Known, set when the regular rules see the message
}

// Regular returns what the server answers where no script is: none, or one
// reply. It takes the address in the server's books.
func (r Request) Regular() []Reply { return r.server.regular(&r) }

// key is what the server knows the client by: its client-id, else its MAC
// (RFC 2131 §4.2).
func (r Request) key() string {
	if len(r.ClientID) > 0 {
		return "id " + hex.EncodeToString(r.ClientID)
	}
	return "mac " + r.MAC.String()
}

func newEntry(f ether.Frame, u ether.UDP, m *dhcpv4.DHCPv4) Entry {
	return Entry{
		At: f.At, Type: m.MessageType(), XID: m.TransactionID,
		MAC: m.ClientHWAddr, ClientID: m.Options.Get(dhcpv4.OptionClientIdentifier),
		CIAddr: addrOf(m.ClientIPAddr), YIAddr: addrOf(m.YourIPAddr),
		Requested: addrOf(m.RequestedIPAddress()), ServerID: addrOf(m.ServerIdentifier()),
		BroadcastFlag: m.IsBroadcast(), Secs: m.NumSeconds, Hostname: m.HostName(),
		SrcIP: u.Src.Addr(), DstIP: u.Dst.Addr(), SrcMAC: f.Src, DstMAC: f.Dst,
	}
}

// addrOf returns the address, invalid for none and for 0.0.0.0.
func addrOf(ip net.IP) netip.Addr {
	a, ok := netip.AddrFromSlice(ip.To4())
	if !ok || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}
