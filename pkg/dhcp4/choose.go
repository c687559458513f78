package dhcp4

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

var errNotRapid = errors.New("no REQUEST was sent, and it has no Rapid Commit (option 80)")

func (c *Client) handleOffer(now time.Duration, r Reply) Output {
	c.counts.Offers++
	offered, _, err := terms(r)
	if err == nil {
		err = c.acceptable(offered.Address.Addr())
	}
	if err != nil {
		return c.refuse(r, err)
	}
	c.offered = offered
	c.state, c.try = Requesting, 0
	return c.request(now)
}

// acceptable tells why an address that was not asked for is of no use.
func (c *Client) acceptable(address netip.Addr) error {
	if c.only.IsValid() && address != c.only {
		return fmt.Errorf("%s offered, %s was lost", address, c.only)
	}
	if c.params.Acceptable != nil {
		return c.params.Acceptable(address)
	}
	return nil
}

// handleCommit takes the ACK to a DISCOVER (RFC 4039 §3.1).
func (c *Client) handleCommit(now time.Duration, r Reply) Output {
	if _, there := r.msg.Options[uint8(dhcpv4.OptionRapidCommit)]; !there {
		return c.refuse(r, errNotRapid)
	}
	lease, times, err := terms(r)
	if err == nil {
		err = c.acceptable(lease.Address.Addr())
	}
	if err != nil {
		return c.refuse(r, err)
	}
	return c.take(now, r, c.stamp(lease, times))
}

// rapid tells whether a lease in two messages is asked for.
func (c *Client) rapid() bool { return c.params.RapidCommit && !c.only.IsValid() }

func (c *Client) allowed(server netip.Addr) bool {
	return len(c.params.Servers) == 0 || slices.Contains(c.params.Servers, server)
}
