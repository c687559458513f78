package lease

import (
	"time"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// state is the entry's in the contract's words.
func (e *entry) state() leaseapi.State {
	switch e.stage {
	case acquiring, storing:
		return leaseapi.StateAcquiring
	case pending, reserved:
		return leaseapi.StatePending
	case lost, returning:
		return leaseapi.StateLost
	case held, releasing:
	}
	switch e.client.State() {
	case dhcp4.Renewing:
		return leaseapi.StateRenewing
	case dhcp4.Rebinding:
		return leaseapi.StateRebinding
	default:
		return leaseapi.StateBound
	}
}

// view is the entry for the API, as its request wants it.
func (k *Keeper) view(e *entry) leaseapi.Lease {
	v := leaseapi.Lease{
		Key: e.key, State: e.state(), Reason: e.reason, Pod: e.req.Pod,
		MAC: e.req.MAC, ClientID: e.req.ClientID, Transport: e.req.Transport, Uplink: e.req.Uplink, Bridge: e.req.Bridge, VLAN: e.req.VLAN,
		WhenLost: e.req.WhenLost,
	}
	if v.WhenLost == "" {
		v.WhenLost = leaseapi.Withdraw
	}
	l, ok := e.terms()
	if !ok {
		return v
	}
	v.Address, v.Server, v.Router, v.DNS, v.Domain, v.Search, v.MTU = l.Address, l.Server, l.Router, l.DNS, l.Domain, l.Search, l.MTU
	v.NTP = l.NTP
	for _, r := range l.Routes {
		v.Routes = append(v.Routes, leaseapi.Route{Dst: r.Dst, GW: r.GW})
	}
	at := func(t time.Duration) time.Time {
		if t == dhcp4.Never {
			return time.Time{}
		}
		return k.cfg.Wall().Add(t - k.cfg.Now()).Round(time.Second)
	}
	v.AcquiredAt, v.RenewAt, v.RebindAt, v.ExpiresAt = at(l.Acquired), at(l.T1), at(l.T2), at(l.Expiry)
	return e.req.Select(v)
}
