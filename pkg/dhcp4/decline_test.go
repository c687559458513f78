package dhcp4_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/dhcp4"
)

const conflict = "02:00:00:00:00:99 has it"

func TestDeclineGivesTheAddressUpAndPausesFor10Seconds(t *testing.T) {
	for _, state := range []dhcp4.State{dhcp4.Bound, dhcp4.Renewing, dhcp4.Rebinding} {
		t.Run(state.String(), func(t *testing.T) {
			c, now := in(t, state)
			out := c.Decline(now, conflict)
			if out.Change != dhcp4.Lost || out.Reason != conflict || only(t, out).Type != dhcpv4.MessageTypeDecline {
				t.Fatalf("%+v", out)
			}
			if _, holds := c.Lease(); holds || c.Waiting() {
				t.Error("it is still held, or an answer is expected")
			}
			if pause := c.Deadline() - now; pause < 10*time.Second || pause > 11*time.Second {
				t.Errorf("pauses for %s", pause)
			}
			if out := c.Tick(c.Deadline() - 1); len(out.Send) != 0 {
				t.Error("something is sent in the pause")
			}
			if got := only(t, c.Tick(c.Deadline())).Type; got != dhcpv4.MessageTypeDiscover {
				t.Errorf("%s follows, DISCOVER wanted", got)
			}
		})
	}
}

func TestWhatIsNotHeldIsNotDeclined(t *testing.T) {
	for _, state := range []dhcp4.State{dhcp4.Selecting, dhcp4.Requesting, dhcp4.Rebooting} {
		c, now := in(t, state)
		before := c.Deadline()
		if out := c.Decline(now, conflict); len(out.Send) != 0 || out.Change != dhcp4.Unchanged || c.State() != state || c.Deadline() != before {
			t.Errorf("in %s: %+v", state, out)
		}
	}
}

func TestDeclinesInARowSlowTheClientDown(t *testing.T) {
	c, now := in(t, dhcp4.Bound)
	again := func(stood time.Duration) time.Duration {
		now += stood
		c.Decline(now, conflict)
		pause := c.Deadline() - now
		now = c.Deadline()
		c.Tick(now)
		c.Handle(now, offer(t, c, generous()))
		if c.Handle(now, ack(t, c, generous())).Change != dhcp4.Granted {
			t.Fatal("no lease any more")
		}
		return pause.Truncate(time.Second)
	}
	for _, want := range []int{10, 20, 40, 80, 160, 300, 300, 300} {
		if got := again(time.Second); got < time.Duration(want)*time.Second || got > time.Duration(want+1)*time.Second {
			t.Errorf("pauses for %s, %d s wanted", got, want)
		}
	}
	if got := again(10 * time.Minute); got > 11*time.Second {
		t.Errorf("pauses for %s after a lease that stood, 10 s wanted", got)
	}
}

func TestADeclinedAddressIsTheOnlyOneTakenUnlessNobodyWasToldOfIt(t *testing.T) {
	other := netip.MustParseAddr("192.0.2.77")
	for name, tc := range map[string]struct {
		any   bool
		wish  netip.Addr
		state dhcp4.State
	}{
		"told":  {false, leased(), dhcp4.Selecting},
		"fresh": {true, netip.IPv4Unspecified(), dhcp4.Requesting},
	} {
		t.Run(name, func(t *testing.T) {
			c, now := in(t, dhcp4.Bound)
			c.Decline(now, conflict)
			if tc.any {
				c.TakeAny()
			}
			now = c.Deadline()
			if m := sent(t, only(t, c.Tick(now))); !m.RequestedIPAddress().Equal(tc.wish.AsSlice()) && (m.RequestedIPAddress() != nil || !tc.any) {
				t.Errorf("DISCOVER asks for %s, %s wanted", m.RequestedIPAddress(), tc.wish)
			}
			if c.Handle(now, answer(t, c, dhcpv4.MessageTypeOffer, other, generous())); c.State() != tc.state {
				t.Errorf("offered another: %s, %s wanted", c.State(), tc.state)
			}
		})
	}
}

func TestTheServerIsToldWhyInOneOption(t *testing.T) {
	c, now := in(t, dhcp4.Bound)
	m := sent(t, only(t, c.Decline(now, strings.Repeat("x", 1000))))
	if got := len(m.Options[56]); got != 255 {
		t.Errorf("the message has %d bytes, 255 wanted", got)
	}
}
