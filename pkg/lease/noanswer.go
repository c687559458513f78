package lease

import (
	"fmt"
	"time"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// noAnswer tells what was sent, what was seen, and what to check.
func (k *Keeper) noAnswer(e *entry, now time.Duration) error {
	if e.stage == storing {
		return &leaseapi.Error{
			Code: leaseapi.CodeTryAgainLater, Msg: fmt.Sprintf("%s was granted too late to be probed in time", e.lastLease.Address.Addr()),
			Details: "`conflict: wait` takes 4 to 7 s (RFC 5227) after the server's answer",
		}
	}
	c := e.client.Counts()
	if e.declined != "" && c.Discovers == 0 {
		return &leaseapi.Error{
			Code: leaseapi.CodeTryAgainLater,
			Msg: fmt.Sprintf("%s; the client waits at least 10 s before it asks again (RFC 2131 §3.1.5), and the ADD's time is over after %s",
				e.declined, (now - e.began).Round(time.Second)),
			Details: "who has the address without the server's knowing? Take it out of the server's range, or give it back there",
		}
	}
	wanted, check := "DHCPOFFER", e.served()
	switch {
	case c.Offers > 0:
		wanted, check = "DHCPACK", "the server offers and does not grant: what does its log say?"
	case c.Discovers == 0:
		check = "its turn never came: do the ADDs before it get answers?"
	}
	sent := fmt.Sprintf("%d DISCOVER sent", c.Discovers)
	if c.Requests > 0 {
		sent = fmt.Sprintf("%d DISCOVER and %d REQUEST sent", c.Discovers, c.Requests)
	}
	took := (now - e.began).Round(time.Second)
	msg := fmt.Sprintf("no %s on %s in %s: %s%s, %d frames for %s", wanted, e.where(), took, sent, k.carrier(e), e.seen, e.req.MAC)
	if e.declined != "" {
		msg += ", " + e.declined
	}
	if c.NAKs > 0 {
		msg += fmt.Sprintf(", %d DHCPNAK, the last: %s", c.NAKs, c.NAK)
	}
	if c.Refused != nil {
		msg += ", the last answer was refused: " + c.Refused.Error()
	}
	return &leaseapi.Error{Code: leaseapi.CodeTryAgainLater, Msg: msg, Details: check}
}

// where the entry speaks.
func (e *entry) where() string {
	switch {
	case e.req.Transport == leaseapi.FromUplink:
		return e.segment.domain().String()
	case e.req.VLAN != 0:
		return fmt.Sprintf("%s in the Pod (%s)", e.key.IfName, e.domain())
	}
	return e.key.IfName + " in the Pod"
}

// served asks what keeps an OFFER away.
func (e *entry) served() string {
	switch {
	case e.req.VLAN == 0:
		return "is DHCP served on this segment, and does the switch port allow this MAC?"
	case e.req.Untagged:
		return "is DHCP served on this VLAN? Is it the switch port's native one, and does that allow this MAC?"
	}
	return "is DHCP served on this VLAN? Does the switch port carry it tagged, and allow this MAC?"
}

func (k *Keeper) carrier(e *entry) string {
	if e.req.Transport == leaseapi.FromPod {
		return ""
	}
	switch present, carrier := k.cfg.Wire.State(e.req.Uplink); {
	case !present:
		return ", " + e.req.Uplink + " is gone"
	case !carrier:
		return ", no carrier"
	}
	return ", carrier up"
}
