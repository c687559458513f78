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

// Offered returns what is being asked for in REQUESTING; false in other states.
func (c *Client) Offered() (Lease, bool) { return c.offered, c.state == Requesting }

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
