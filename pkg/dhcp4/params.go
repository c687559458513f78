package dhcp4

import "net/netip"

// Params are what the client is and says of itself.
type Params struct {
	MAC MAC
	// ClientID is option 61's value, type byte included. Empty: not sent.
	ClientID []byte
	// ParameterRequest is option 55's value, in order. Empty: what Lease can
	// hold.
	ParameterRequest []byte
	// Send are further options for DISCOVER and REQUEST, by code. Those that
	// belong to the protocol itself are passed over.
	Send map[uint8][]byte
	// AnyAddress lets a client that lost its lease, or was told by Reboot of a
	// former one, take another address. Else it is tied: it refuses offers of
	// all but that one, so as to burn no address that nobody can use. TakeAny
	// unties it once.
	AnyAddress bool
	// RapidCommit asks for a lease in two messages (RFC 4039), unless the client
	// is tied to an address: a server could then commit another. What a server
	// commits for a search that was given up nobody knows and gives back.
	RapidCommit bool
	// Servers are those, by option 54, whose answers are taken, in any state;
	// empty: any. A held lease of another server finds one of them in REBINDING.
	Servers []netip.Addr
	// Acceptable, if not nil, says why an address that is offered, or was
	// committed rapidly, is of no use. The search goes on at its pace.
	Acceptable func(netip.Addr) error
}

// Datagram is a message to be sent from port 68 to port 67.
type Datagram struct {
	Type    Type
	Payload []byte
	// Src is 0.0.0.0 or the leased address. Dst is 255.255.255.255 or the
	// server; DstMAC is then the way to it, and the broadcast address where
	// that is not known.
	Src, Dst netip.Addr
	DstMAC   MAC
}

// Change is what became of the lease.
type Change int

// The changes.
const (
	Unchanged Change = iota
	// Granted: there is an address where there was none.
	Granted
	// Extended: the lease has new times, and perhaps new terms.
	Extended
	// Lost: the address must not be used any more; Output.Reason says why.
	Lost
)

// Output is what an event leads to. Deadline and Waiting may have changed with
// it.
type Output struct {
	Send   []Datagram
	Change Change
	Reason string
}

// Counts tells what an acquisition, or the search after a loss, has sent and
// seen so far.
type Counts struct {
	Discovers, Requests, Offers, NAKs int
	// Seen counts replies to this MAC, of whatever transaction.
	Seen int
	// Refused is why the last reply of ours was of no use, if one was not.
	Refused error
	// NAK is what the server that refused last said, "" if none did.
	NAK string
}
