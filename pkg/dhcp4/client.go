package dhcp4

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// State is the client's place in RFC 2131 §4.4, figure 5.
type State int

// The states. INIT-REBOOT is passed through by Reboot and has no name here.
const (
	Init State = iota
	Selecting
	Requesting
	Rebooting
	Bound
	Renewing
	Rebinding
)

func (s State) String() string {
	names := [...]string{"INIT", "SELECTING", "REQUESTING", "REBOOTING", "BOUND", "RENEWING", "REBINDING"}
	if s < 0 || int(s) >= len(names) {
		return "?"
	}
	return names[s]
}

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
	// is tied to an address: a server could then commit another.
	RapidCommit bool
	// Servers are those, by option 54, whose answers are taken; empty: any.
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

// Client is one DHCP client. It is not safe for concurrent use.
type Client struct {
	params Params
	rng    *rand.Rand

	state  State
	lease  Lease // valid where held
	held   bool
	former *Lease     // asked for by Reboot, neither granted nor refused so far
	wish   netip.Addr // what DISCOVER asks for
	only   netip.Addr // after a loss: the only address that helps; see tie

	xid      uint32
	began    time.Duration // of the acquisition or renewal: what `secs` counts from
	sentAt   time.Duration // of the transaction's first REQUEST: what lease times count from
	listen   time.Duration // until when an answer is to be expected
	try      int           // messages sent in this state
	deadline time.Duration
	offered  Lease
	naks     int           // since the last lease
	granted  time.Duration // when there came to be a lease
	declines int           // of leases that did not stand
	quick    int           // what is left of Verify's quick tries
	secs     uint16        // of the last DISCOVER
	counts   Counts
}

// New returns a client in INIT, without a deadline: Start or Reboot begin.
// Transaction numbers and jitter are drawn from rng.
func New(p Params, rng *rand.Rand) *Client {
	if len(p.ParameterRequest) == 0 {
		p.ParameterRequest = DefaultParameterRequest()
	}
	return &Client{params: p, rng: rng, deadline: Never}
}

// Adopt returns a client that holds the lease: the next Tick says what is due,
// be it renewal, rebinding, or the loss of a lease that ran out meanwhile.
func Adopt(p Params, rng *rand.Rand, lease Lease) *Client {
	c := New(p, rng)
	c.state, c.lease, c.held, c.granted = Bound, lease, true, lease.Acquired
	c.deadline = lease.T1
	return c
}

// DefaultParameterRequest returns option 55's value for all that Lease can
// hold. 121 stands before 33 and 3 (RFC 3442).
func DefaultParameterRequest() []byte {
	codes := []dhcpv4.OptionCode{
		dhcpv4.OptionSubnetMask, dhcpv4.OptionClasslessStaticRoute, dhcpv4.OptionStaticRoutingTable,
		dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionDomainName,
		dhcpv4.OptionDNSDomainSearchList, dhcpv4.OptionInterfaceMTU, dhcpv4.OptionNTPServers,
		dhcpv4.OptionIPAddressLeaseTime,
		dhcpv4.OptionRenewTimeValue, dhcpv4.OptionRebindingTimeValue,
	}
	raw := make([]byte, len(codes))
	for i, c := range codes {
		raw[i] = c.Code()
	}
	return raw
}

// State returns the client's state.
func (c *Client) State() State { return c.state }

// Lease returns the lease that is held; false if there is none.
func (c *Client) Lease() (Lease, bool) { return c.lease, c.held }

// XID returns the transaction that replies must belong to.
func (c *Client) XID() uint32 { return c.xid }

// MAC returns the client's hardware address.
func (c *Client) MAC() MAC { return c.params.MAC }

// Counts returns what this acquisition has sent and seen.
func (c *Client) Counts() Counts { return c.counts }

// Deadline returns when Tick has to be called next; Never if it has not.
func (c *Client) Deadline() time.Duration { return c.deadline }

// Waiting reports whether an answer is expected: an exchange is in flight.
func (c *Client) Waiting() bool { return c.state != Init && c.state != Bound }

// ListenUntil returns until when an answer to what was sent last is worth
// listening for. In RENEWING and REBINDING that is long before the next
// attempt: what pins something by listening may let go of it then. Zero if
// nothing is in flight.
func (c *Client) ListenUntil() time.Duration {
	if !c.Waiting() {
		return 0
	}
	return c.listen
}

// Start begins an acquisition of whatever address with DISCOVER.
func (c *Client) Start(now time.Duration) Output {
	c.began, c.counts, c.naks = now, Counts{}, 0
	c.held, c.former, c.only = false, nil, netip.Addr{}
	return c.discover(now)
}

// Reboot asks all servers for the address of a former lease (INIT-REBOOT, RFC
// 2131 §3.2), and turns to DISCOVER on a NAK or silence. Of the former lease
// only the address has to be known; with its Server, Release can give it back.
// The client is tied to the address: right for what uses it already, a lease
// whose file is gone. Who only would like it again, as a new sandbox after a
// node's reboot, calls TakeAny next.
func (c *Client) Reboot(now time.Duration, former Lease) Output {
	if !former.Address.Addr().Is4() {
		return c.Start(now)
	}
	c.began, c.counts, c.naks = now, Counts{}, 0
	c.held = false
	c.former, c.offered, c.wish = &former, former, former.Address.Addr()
	c.tie(c.wish)
	c.state, c.try = Rebooting, 0
	c.newXID()
	return c.request(now)
}

// Offered returns what is being asked for in REQUESTING; false in other states.
func (c *Client) Offered() (Lease, bool) { return c.offered, c.state == Requesting }

// tie makes address the only one that is taken until a lease is granted.
func (c *Client) tie(address netip.Addr) {
	if !c.params.AnyAddress {
		c.only = address
	}
}

// TakeAny unties a client that has just lost or declined a lease of which
// nobody was told, or that asks for a former one by Reboot: the search takes
// any address. The next loss ties it again. Nothing while a lease is held.
func (c *Client) TakeAny() {
	if c.held {
		return
	}
	c.only = netip.Addr{}
}

// Verify makes the next try to extend the held lease due at once, in BOUND,
// RENEWING and REBINDING; nothing in other states. What is not answered is
// asked again after 4, 8 and 16 s before the pace of RFC 2131 §4.4.5 returns:
// a link that has just come back may not carry yet.
func (c *Client) Verify(now time.Duration) {
	if c.held {
		c.quick, c.try, c.deadline = verifyTries, 0, min(c.deadline, now)
	}
}

// Release ends everything and returns the DHCPRELEASE for what is held, or may
// have been granted without our knowing; none if neither.
func (c *Client) Release() Output {
	lease, due := c.lease, c.held
	switch {
	case due:
	case c.state == Requesting:
		lease, due = c.offered, true
	case c.former != nil:
		lease, due = *c.former, true
	}
	c.state, c.held, c.former, c.only, c.deadline = Init, false, nil, netip.Addr{}, Never
	if !due || !lease.Server.IsValid() {
		return Output{}
	}
	c.newXID()
	return Output{Send: []Datagram{c.release(lease)}}
}
