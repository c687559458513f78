package dhcp4_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/dhcp4"
)

func TestVerifyAsksAtOnceAndAgainSoon(t *testing.T) {
	for _, state := range []dhcp4.State{dhcp4.Bound, dhcp4.Renewing, dhcp4.Rebinding} {
		t.Run(state.String(), func(t *testing.T) {
			c, now := in(t, state)
			l, _ := c.Lease()
			if state != dhcp4.Rebinding {
				now += time.Minute
			}
			c.Verify(now)
			for i, want := range []int{4, 8, 16} {
				d := only(t, c.Tick(now))
				if toAll := i > 0 || state == dhcp4.Rebinding; d.Type != dhcpv4.MessageTypeRequest || (d.Dst != serverIP()) != toAll {
					t.Fatalf("try %d: %s to %s", i+1, d.Type, d.Dst)
				}
				if off := (c.Deadline() - now - time.Duration(want)*time.Second).Abs(); off > time.Second {
					t.Errorf("asks again after %s, %d s wanted", c.Deadline()-now, want)
				}
				now = c.Deadline()
			}
			if only(t, c.Tick(now)); (c.State() == dhcp4.Rebinding) != (now >= l.T2) {
				t.Errorf("then in %s", c.State())
			}
			if wait := c.Deadline() - now; wait < time.Minute {
				t.Errorf("then after %s, at least a minute wanted", wait)
			}
			if out := c.Handle(now, ack(t, c, generous())); out.Change != dhcp4.Extended {
				t.Fatalf("%+v", out)
			}
			if after, _ := c.Lease(); after.Expiry <= l.Expiry || c.Deadline() != after.T1 {
				t.Errorf("ends at %s, before at %s; due at %s", after.Expiry, l.Expiry, c.Deadline())
			}
		})
	}
}

func TestVerifyChangesNothingWhereNoLeaseIsHeld(t *testing.T) {
	for _, state := range []dhcp4.State{dhcp4.Selecting, dhcp4.Requesting, dhcp4.Rebooting} {
		c, now := in(t, state)
		before := c.Deadline()
		if c.Verify(now); c.Deadline() != before {
			t.Errorf("in %s something is due", state)
		}
	}
	c := dhcp4.New(params(), rng())
	if c.Verify(boot); c.Deadline() != dhcp4.Never {
		t.Error("before Start something is due")
	}
}

func TestAnInfiniteLeaseIsVerifiedForAWhileAndKept(t *testing.T) {
	c := bound(t, generous().with(51, []byte{0xff, 0xff, 0xff, 0xff}))
	c.Verify(boot)
	asked := 0
	for range 10 {
		if c.Deadline() == dhcp4.Never {
			break
		}
		asked += len(c.Tick(c.Deadline()).Send)
	}
	if _, holds := c.Lease(); asked != 3 || c.State() != dhcp4.Bound || !holds || c.Waiting() {
		t.Errorf("asked %d times, %s", asked, c.State())
	}
	c.Verify(boot + time.Hour)
	if only(t, c.Tick(boot+time.Hour)); c.State() != dhcp4.Renewing {
		t.Errorf("in %s, RENEWING wanted", c.State())
	}
	if out := c.Handle(boot+time.Hour, nak(t, c, generous())); out.Change != dhcp4.Lost {
		t.Errorf("%+v", out)
	}
}

func TestWhoRebootsTakesTheFormerAddressOnlyUnlessAnyWillDo(t *testing.T) {
	other := netip.MustParseAddr("192.0.2.77")
	anyAddress := params()
	anyAddress.AnyAddress = true
	for name, tc := range map[string]struct {
		params  dhcp4.Params
		takeAny bool
		want    dhcp4.State
	}{
		"what runs with it":           {params(), false, dhcp4.Selecting},
		"a new sandbox":               {params(), true, dhcp4.Requesting},
		"what may change its address": {anyAddress, false, dhcp4.Requesting},
	} {
		for _, silent := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				c := dhcp4.New(tc.params, rng())
				// Nothing but the address is known: its file is gone.
				out := c.Reboot(boot, dhcp4.Lease{Address: netip.PrefixFrom(leased(), 24)})
				if m := sent(t, only(t, out)); m.MessageType() != dhcpv4.MessageTypeRequest || !m.RequestedIPAddress().Equal(leased().AsSlice()) {
					t.Fatalf("%s for %s", m.MessageType(), m.RequestedIPAddress())
				}
				if tc.takeAny {
					c.TakeAny()
				}
				now := boot
				if silent {
					now = c.Deadline()
					out = c.Tick(now)
				} else {
					out = c.Handle(now, nak(t, c, generous()))
				}
				if m := sent(t, only(t, out)); m.MessageType() != dhcpv4.MessageTypeDiscover || !m.RequestedIPAddress().Equal(leased().AsSlice()) {
					t.Errorf("%s for %s", m.MessageType(), m.RequestedIPAddress())
				}
				if c.Handle(now, answer(t, c, dhcpv4.MessageTypeOffer, other, generous())); c.State() != tc.want {
					t.Errorf("offered another address: %s, %s wanted", c.State(), tc.want)
				}
			})
		}
	}
}

func TestWhoTookAnyAddressIsTiedToItOnceItIsHeld(t *testing.T) {
	c, now := in(t, dhcp4.Rebooting)
	c.TakeAny()
	c.Handle(now, ack(t, c, generous()))
	c.TakeAny() // too late
	c.Tick(boot + time.Hour)
	c.Handle(boot+time.Hour, answer(t, c, dhcpv4.MessageTypeOffer, netip.MustParseAddr("192.0.2.77"), generous()))
	if c.State() != dhcp4.Selecting {
		t.Errorf("another address is taken: %s", c.State())
	}
}

func TestWithoutAFormerAddressRebootDiscovers(t *testing.T) {
	c := dhcp4.New(params(), rng())
	if got := only(t, c.Reboot(boot, dhcp4.Lease{})).Type; got != dhcpv4.MessageTypeDiscover {
		t.Errorf("%s sent", got)
	}
}

func TestAReleasedClientBeginsAnewFreely(t *testing.T) {
	c, now := in(t, dhcp4.Bound)
	c.Decline(now, conflict)
	c.Release()
	c.Start(now)
	c.Handle(now, answer(t, c, dhcpv4.MessageTypeOffer, netip.MustParseAddr("192.0.2.77"), generous()))
	if c.State() != dhcp4.Requesting {
		t.Errorf("%s: %v", c.State(), c.Counts().Refused)
	}
}
