package dhcp4_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/dhcp4"
)

func TestRenewingAndRebindingAskAgainAfterHalfOfWhatIsLeft(t *testing.T) {
	for name, tc := range map[string]struct {
		lease time.Duration
		// want are the times of the REQUESTs in REBINDING.
		want []time.Duration
	}{
		"a day": {24 * time.Hour, []time.Duration{
			21 * time.Hour, 21*time.Hour + 90*time.Minute, 21*time.Hour + 135*time.Minute,
		}},
		"ten minutes: never sooner than a minute, never past the end": {10 * time.Minute, []time.Duration{525 * time.Second, 585 * time.Second}},
		"a minute: once in each state":                                {time.Minute, []time.Duration{52500 * time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			l := held(t) // with times that are not jittered
			l.T1, l.T2, l.Expiry = boot+tc.lease/2, boot+tc.lease/8*7, boot+tc.lease
			c := dhcp4.Adopt(params(), rng(), l)
			var rebinds []time.Duration
			xid, now := uint32(0), boot
			for len(rebinds) < len(tc.want) {
				if c.Deadline() <= now {
					t.Fatalf("deadline %s is not after %s", c.Deadline(), now)
				}
				now = c.Deadline()
				out := c.Tick(now)
				if out.Change == dhcp4.Lost {
					t.Fatalf("lost after %s", now-boot)
				}
				if c.XID() == xid {
					t.Error("two attempts have one number")
				}
				xid = c.XID()
				if c.State() == dhcp4.Rebinding {
					rebinds = append(rebinds, now-boot)
				}
			}
			for i, want := range tc.want {
				if rebinds[i] != want {
					t.Errorf("REBIND %d after %s, %s wanted", i, rebinds[i], want)
				}
			}
		})
	}
}

func TestAnExchangeIsListenedForLongBeforeTheNextAttempt(t *testing.T) {
	c, now := in(t, dhcp4.Renewing)
	if got := c.ListenUntil() - now; got <= 0 || got > 10*time.Second {
		t.Errorf("listens for %s", got)
	}
	c, _ = in(t, dhcp4.Bound)
	if c.ListenUntil() != 0 {
		t.Error("a bound client listens")
	}
}

func TestSecsCountFromTheBeginningOfTheRenewal(t *testing.T) {
	c, began := in(t, dhcp4.Renewing)
	now := c.Deadline()
	m := sent(t, only(t, c.Tick(now)))
	if want := uint16((now - began) / time.Second); m.NumSeconds != want {
		t.Errorf("secs is %d, %d wanted", m.NumSeconds, want)
	}
	adopted := dhcp4.Adopt(params(), rng(), held(t))
	if m := sent(t, only(t, adopted.Tick(boot+55*time.Minute))); m.NumSeconds != 1 {
		t.Errorf("an adopted client begins with secs %d, 1 wanted", m.NumSeconds)
	}
}

func TestALeaseThatNobodyExtendsIsLostWhenItEnds(t *testing.T) {
	c := bound(t, generous())
	for {
		now := c.Deadline()
		out := c.Tick(now)
		if out.Change != dhcp4.Lost {
			continue
		}
		if now != boot+time.Hour {
			t.Errorf("lost after %s, an hour wanted", now-boot)
		}
		if out.Reason == "" || only(t, out).Type != dhcpv4.MessageTypeDiscover {
			t.Errorf("reason and DISCOVER wanted: %+v", out)
		}
		if _, holds := c.Lease(); holds {
			t.Error("it is still held")
		}
		return
	}
}

func TestANAK(t *testing.T) {
	for state, change := range map[dhcp4.State]dhcp4.Change{
		dhcp4.Requesting: dhcp4.Unchanged,
		dhcp4.Rebooting:  dhcp4.Unchanged,
		dhcp4.Renewing:   dhcp4.Lost,
		dhcp4.Rebinding:  dhcp4.Lost,
	} {
		t.Run("in "+state.String()+" leads to DISCOVER at once", func(t *testing.T) {
			c, now := in(t, state)
			old := c.XID()
			out := c.Handle(now, nak(t, c, options{54: serverIP().AsSlice(), 56: []byte("wrong\nnetwork\x00")}))
			if out.Change != change || only(t, out).Type != dhcpv4.MessageTypeDiscover || c.XID() == old {
				t.Errorf("%+v", out)
			}
			if nak := c.Counts().NAK; !strings.Contains(nak, serverIP().String()) || !strings.Contains(nak, `wrong\nnetwork`) {
				t.Errorf("the server's words are not told safely: %q", nak)
			}
		})
	}
}

func TestANAKFromAStrangerCounts(t *testing.T) {
	stranger := options{54: b4("192.0.2.66")}
	for state, taken := range map[dhcp4.State]bool{
		dhcp4.Requesting: false, dhcp4.Rebooting: true, dhcp4.Renewing: false, dhcp4.Rebinding: true,
	} {
		c, now := in(t, state)
		c.Handle(now, nak(t, c, stranger))
		if got := c.State() == dhcp4.Selecting; got != taken {
			t.Errorf("in %s: %v, want %v", state, got, taken)
		}
	}
}

func TestNAKsInARowSlowTheClientDown(t *testing.T) {
	c := dhcp4.New(params(), rng())
	now := boot
	c.Start(now)
	var waits []time.Duration
	for range 7 {
		c.Handle(now, offer(t, c, generous()))
		out := c.Handle(now, nak(t, c, options{54: serverIP().AsSlice()}))
		if len(out.Send) == 0 {
			waits = append(waits, (c.Deadline() - now).Round(2*time.Second))
			now = c.Deadline()
			only(t, c.Tick(now))
		}
	}
	if len(waits) != 5 {
		t.Fatalf("%d of 7 NAKs were not answered at once, 5 wanted", len(waits))
	}
	for i := range len(waits) - 1 {
		if waits[i+1] < waits[i] {
			t.Errorf("waits %s after %s", waits[i+1], waits[i])
		}
	}
}

func TestALostAddressIsTheOnlyOneTaken(t *testing.T) {
	other := netip.MustParseAddr("192.0.2.77")
	lost := func(t *testing.T, p dhcp4.Params) (*dhcp4.Client, time.Duration) {
		t.Helper()
		c := dhcp4.Adopt(p, rng(), held(t))
		now := boot + time.Hour
		m := sent(t, only(t, c.Tick(now)))
		if !m.RequestedIPAddress().Equal(leased().AsSlice()) {
			t.Errorf("DISCOVER asks for %s, %s wanted", m.RequestedIPAddress(), leased())
		}
		return c, now
	}
	t.Run("by default", func(t *testing.T) {
		c, now := lost(t, params())
		c.Handle(now, answer(t, c, dhcpv4.MessageTypeOffer, other, generous()))
		if c.State() != dhcp4.Selecting || c.Counts().Refused == nil {
			t.Fatalf("another address is taken: %s", c.State())
		}
		c.Handle(now, offer(t, c, generous()))
		if out := c.Handle(now, ack(t, c, generous())); out.Change != dhcp4.Granted {
			t.Error("the lost address is not taken again")
		}
	})
	t.Run("unless any will do", func(t *testing.T) {
		p := params()
		p.AnyAddress = true
		c, now := lost(t, p)
		c.Handle(now, answer(t, c, dhcpv4.MessageTypeOffer, other, generous()))
		if c.State() != dhcp4.Requesting {
			t.Errorf("another address is refused: %v", c.Counts().Refused)
		}
	})
}

func TestARenewalWithAnotherAddressLosesTheLease(t *testing.T) {
	c, now := in(t, dhcp4.Renewing)
	out := c.Handle(now, answer(t, c, dhcpv4.MessageTypeAck, netip.MustParseAddr("192.0.2.77"), generous()))
	if out.Change != dhcp4.Lost || out.Reason == "" {
		t.Errorf("%+v", out)
	}
}

// In RENEWING it is the failover peer of the one that was asked.
func TestAnyServerMayExtend(t *testing.T) {
	for _, state := range []dhcp4.State{dhcp4.Renewing, dhcp4.Rebinding} {
		t.Run("in "+state.String(), func(t *testing.T) {
			c, now := in(t, state)
			out := c.Handle(now, ack(t, c, generous().with(54, b4("192.0.2.2"))))
			l, _ := c.Lease()
			if out.Change != dhcp4.Extended || l.Server != netip.MustParseAddr("192.0.2.2") || l.Expiry != now+time.Hour {
				t.Errorf("%+v, %+v", out, l)
			}
			if d := only(t, c.Tick(l.T1)); d.Dst != l.Server {
				t.Errorf("the next RENEW goes to %s", d.Dst)
			}
		})
	}
}

func TestAnAdoptedLeaseGoesOnWhereItsTimesSay(t *testing.T) {
	for name, tc := range map[string]struct {
		at   time.Duration
		want dhcp4.State
	}{
		"before T1":    {10 * time.Minute, dhcp4.Bound},
		"after T1":     {40 * time.Minute, dhcp4.Renewing},
		"after T2":     {55 * time.Minute, dhcp4.Rebinding},
		"after expiry": {2 * time.Hour, dhcp4.Selecting},
	} {
		t.Run(name, func(t *testing.T) {
			c := dhcp4.Adopt(params(), rng(), held(t))
			out := c.Tick(boot + tc.at)
			if c.State() != tc.want || (tc.want == dhcp4.Bound) != (len(out.Send) == 0) {
				t.Errorf("%s, %d messages; %s wanted", c.State(), len(out.Send), tc.want)
			}
			if (out.Change == dhcp4.Lost) != (tc.want == dhcp4.Selecting) {
				t.Errorf("change %d", out.Change)
			}
		})
	}
}

func TestAnInfiniteLeaseIsNeverRenewed(t *testing.T) {
	c := bound(t, generous().with(51, []byte{0xff, 0xff, 0xff, 0xff}))
	l, _ := c.Lease()
	if !l.Infinite() || c.Deadline() != dhcp4.Never || l.T1 != dhcp4.Never || l.T2 != dhcp4.Never {
		t.Errorf("deadline %s, %+v", c.Deadline(), l)
	}
	if out := c.Tick(boot + 200*365*24*time.Hour/2); len(out.Send) != 0 {
		t.Error("it is renewed")
	}
	if s := l.Shift(time.Hour); !s.Infinite() || s.Acquired != l.Acquired+time.Hour {
		t.Errorf("shifted: %+v", s)
	}
}

// TestAYear goes through a year of hourly leases with a server that is down
// for half an hour twice a day: no address is lost, none is held past its end.
func TestAYear(t *testing.T) {
	c := bound(t, generous())
	now, end, renewals := boot, boot+365*24*time.Hour, 0
	for now < end {
		if c.Deadline() <= now {
			t.Fatalf("deadline %s is not after %s", c.Deadline(), now)
		}
		now = c.Deadline()
		out := c.Tick(now)
		if out.Change == dhcp4.Lost {
			t.Fatalf("lost after %s: %s", now-boot, out.Reason)
		}
		if l, ok := c.Lease(); !ok || now >= l.Expiry {
			t.Fatalf("held past its end after %s", now-boot)
		}
		if down := now % (12 * time.Hour); down < 25*time.Minute {
			continue
		}
		if c.Handle(now, ack(t, c, generous())).Change == dhcp4.Extended {
			renewals++
		}
	}
	if renewals < 365*24 || renewals > 365*24*3 {
		t.Errorf("%d renewals in a year of hours", renewals)
	}
}
