package dhcp4_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/dhcp4"
)

// TestEachMessageIsAsTheRFCWantsIt is RFC 2131 §4.3.6 and table 5.
func TestEachMessageIsAsTheRFCWantsIt(t *testing.T) {
	var (
		none      = netip.IPv4Unspecified()
		all       = netip.MustParseAddr("255.255.255.255")
		broadcast = dhcp4.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	)
	start := func(*testing.T) dhcp4.Output { return dhcp4.New(params(), rng()).Start(boot) }
	choose := func(t *testing.T) dhcp4.Output {
		t.Helper()
		c, now := in(t, dhcp4.Selecting)
		return c.Handle(now, offer(t, c, generous()))
	}
	reboot := func(t *testing.T) dhcp4.Output {
		t.Helper()
		return dhcp4.New(params(), rng()).Reboot(boot, held(t))
	}
	extend := func(passed time.Duration) func(t *testing.T) dhcp4.Output {
		return func(t *testing.T) dhcp4.Output {
			t.Helper()
			return bound(t, generous()).Tick(boot + passed)
		}
	}
	decline := func(t *testing.T) dhcp4.Output {
		t.Helper()
		return bound(t, generous()).Decline(boot, conflict)
	}
	release := func(t *testing.T) dhcp4.Output {
		t.Helper()
		return bound(t, generous()).Release()
	}
	for name, tc := range map[string]struct {
		make                      func(*testing.T) dhcp4.Output
		kind                      dhcpv4.MessageType
		src, dst                  netip.Addr
		mac                       dhcp4.MAC
		ciaddr                    netip.Addr
		requested, server, asking bool
	}{
		"DISCOVER":            {start, dhcpv4.MessageTypeDiscover, none, all, broadcast, none, false, false, true},
		"REQUEST, SELECTING":  {choose, dhcpv4.MessageTypeRequest, none, all, broadcast, none, true, true, true},
		"REQUEST, REBOOTING":  {reboot, dhcpv4.MessageTypeRequest, none, all, broadcast, none, true, false, true},
		"REQUEST, RENEWING":   {extend(time.Hour / 2), dhcpv4.MessageTypeRequest, leased(), serverIP(), serverMAC(), leased(), false, false, true},
		"REQUEST, REBINDING":  {extend(time.Hour / 8 * 7), dhcpv4.MessageTypeRequest, leased(), all, broadcast, leased(), false, false, true},
		"DECLINE":             {decline, dhcpv4.MessageTypeDecline, none, all, broadcast, none, true, true, false},
		"RELEASE from BOUND ": {release, dhcpv4.MessageTypeRelease, leased(), serverIP(), serverMAC(), leased(), false, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := only(t, tc.make(t))
			m := sent(t, d)
			if d.Type != tc.kind || m.MessageType() != tc.kind || m.OpCode != dhcpv4.OpcodeBootRequest {
				t.Errorf("type %s, op %s", m.MessageType(), m.OpCode)
			}
			if d.Src != tc.src || d.Dst != tc.dst || d.DstMAC != tc.mac {
				t.Errorf("goes from %s to %s at %s; %s, %s, %s wanted", d.Src, d.Dst, d.DstMAC, tc.src, tc.dst, tc.mac)
			}
			if !m.ClientIPAddr.Equal(tc.ciaddr.AsSlice()) || !m.YourIPAddr.Equal(none.AsSlice()) || !m.GatewayIPAddr.Equal(none.AsSlice()) {
				t.Errorf("ciaddr %s, yiaddr %s, giaddr %s", m.ClientIPAddr, m.YourIPAddr, m.GatewayIPAddr)
			}
			if m.ClientHWAddr.String() != podMAC().String() || string(m.Options[61]) != string(clientID()) || m.Flags != 0 {
				t.Errorf("chaddr %s, client-id %x, flags %x", m.ClientHWAddr, m.Options[61], m.Flags)
			}
			if (m.NumSeconds != 0) != tc.asking {
				t.Errorf("secs %d", m.NumSeconds)
			}
			for code, want := range map[uint8]bool{50: tc.requested, 54: tc.server, 55: tc.asking, 57: tc.asking} {
				if _, got := m.Options[code]; got != want {
					t.Errorf("option %d there: %v, want %v", code, got, want)
				}
			}
		})
	}
}

func TestOptionsOfThePodAreSentButCannotForgeTheProtocol(t *testing.T) {
	p := params()
	p.Send = map[uint8][]byte{12: []byte("web-0"), 53: {7}, 61: {1}, 50: {1, 2, 3, 4}, 54: {1, 2, 3, 4}, 55: {1}, 52: {3}, 57: {0, 1}, 80: {}, 82: {1, 1, 7}, 255: {}, 0: {}}
	p.ParameterRequest = []byte{3, 1}
	m := sent(t, only(t, dhcp4.New(p, rng()).Start(boot)))
	if m.HostName() != "web-0" {
		t.Errorf("hostname %q", m.HostName())
	}
	if m.MessageType() != dhcpv4.MessageTypeDiscover || string(m.Options[61]) != string(clientID()) || string(m.Options[55]) != "\x03\x01" || string(m.Options[57]) != "\x05\xc0" {
		t.Errorf("forged: %s", m.Summary())
	}
	for _, code := range []uint8{50, 52, 54, 80, 82} {
		if _, there := m.Options[code]; there {
			t.Errorf("option %d was sent", code)
		}
	}
}

// TestEveryMessageDescribesTheClientAlike goes through a client's life: what
// DISCOVER says and asks for stands in every REQUEST (RFC 2131 §4.4.1), and
// nothing of it in DECLINE and RELEASE.
func TestEveryMessageDescribesTheClientAlike(t *testing.T) {
	p := params()
	p.Send = map[uint8][]byte{12: []byte("web-0"), 60: []byte("podlan"), 81: {5, 0, 0, 3, 'w', 'e', 'b', 0}}
	for _, state := range []dhcp4.State{dhcp4.Init, dhcp4.Selecting, dhcp4.Rebooting, dhcp4.Bound, dhcp4.Renewing} {
		t.Run("after "+state.String(), func(t *testing.T) {
			c, now := dhcp4.New(p, rng()), boot
			var out dhcp4.Output
			switch state {
			case dhcp4.Init:
				out = c.Start(now)
			case dhcp4.Selecting:
				c, now = inWith(t, p, state)
				out = c.Handle(now, offer(t, c, generous()))
			case dhcp4.Rebooting:
				out = c.Reboot(now, held(t))
			default:
				c, _ = inWith(t, p, state)
				l, _ := c.Lease()
				out = c.Tick(map[dhcp4.State]time.Duration{dhcp4.Bound: l.T1, dhcp4.Renewing: l.T2}[state])
			}
			m := sent(t, only(t, out))
			want := map[uint8]string{
				12: "", 60: "podlan", 81: "\x05\x00\x00\x03web\x00",
				55: string(dhcp4.DefaultParameterRequest()), 57: "\x05\xc0", 61: string(clientID()),
			}
			for code, value := range want {
				if got := string(m.Options[code]); got != value {
					t.Errorf("option %d is %q, %q wanted", code, got, value)
				}
			}
		})
	}
	for _, give := range []func(*dhcp4.Client) dhcp4.Output{
		(*dhcp4.Client).Release,
		func(c *dhcp4.Client) dhcp4.Output { return c.Decline(boot, conflict) },
	} {
		m := sent(t, only(t, give(boundWith(t, p, generous()))))
		for _, code := range []uint8{12, 55, 57, 60, 81} {
			if _, there := m.Options[code]; there {
				t.Errorf("%s has option %d", m.MessageType(), code)
			}
		}
	}
}

func TestAHostNameIsSentWhereNoFQDNIs(t *testing.T) {
	p := params()
	p.Send = map[uint8][]byte{12: []byte("web-0")}
	if m := sent(t, only(t, dhcp4.New(p, rng()).Start(boot))); m.HostName() != "web-0" {
		t.Errorf("host name %q", m.HostName())
	}
}

func TestClasslessRoutesAreAskedForBeforeOthers(t *testing.T) {
	asked := string(dhcp4.DefaultParameterRequest())
	for _, code := range []byte{1, 3, 6, 15, 26, 33, 42, 51, 58, 59, 119, 121} {
		if strings.IndexByte(asked, code) < 0 {
			t.Errorf("option %d is not asked for", code)
		}
	}
	if i := strings.IndexByte(asked, 121); i > strings.IndexByte(asked, 33) || i > strings.IndexByte(asked, 3) {
		t.Errorf("%v", []byte(asked))
	}
}

func TestARelease(t *testing.T) {
	fresh := func(*testing.T) *dhcp4.Client { return dhcp4.New(params(), rng()) }
	at := func(s dhcp4.State) func(t *testing.T) *dhcp4.Client {
		return func(t *testing.T) *dhcp4.Client {
			t.Helper()
			c, _ := in(t, s)
			return c
		}
	}
	for name, tc := range map[string]struct {
		client func(*testing.T) *dhcp4.Client
		want   int
	}{
		"of nothing is nothing":                             {fresh, 0},
		"of what was only discovered is nothing":            {at(dhcp4.Selecting), 0},
		"of what was asked for gives back a possible grant": {at(dhcp4.Requesting), 1},
		"of what was asked for again gives back the former": {at(dhcp4.Rebooting), 1},
		"of what is held gives it back":                     {at(dhcp4.Bound), 1},
		"of what is being renewed gives it back":            {at(dhcp4.Renewing), 1},
		"of what is being rebound gives it back":            {at(dhcp4.Rebinding), 1},
		"of what was refused is nothing": {func(t *testing.T) *dhcp4.Client {
			t.Helper()
			c, now := in(t, dhcp4.Rebooting)
			c.Handle(now, nak(t, c, options{}))
			return c
		}, 0},
		"twice gives back once": {func(t *testing.T) *dhcp4.Client {
			t.Helper()
			c, _ := in(t, dhcp4.Bound)
			c.Release()
			return c
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := tc.client(t)
			out := c.Release()
			if len(out.Send) != tc.want {
				t.Fatalf("%d messages, %d wanted", len(out.Send), tc.want)
			}
			if tc.want == 1 {
				if m := sent(t, out.Send[0]); !m.ClientIPAddr.Equal(leased().AsSlice()) || m.NumSeconds != 0 {
					t.Errorf("ciaddr %s, secs %d", m.ClientIPAddr, m.NumSeconds)
				}
			}
			if _, holds := c.Lease(); holds || c.Deadline() != dhcp4.Never || c.Waiting() {
				t.Error("the client goes on")
			}
			if out := c.Tick(boot + 1000*time.Hour); len(out.Send) != 0 {
				t.Error("a released client sends")
			}
		})
	}
}

func TestAServerWithoutAKnownWayIsSentToByBroadcastMAC(t *testing.T) {
	l := held(t)
	l.ServerMAC = dhcp4.MAC{}
	d := only(t, dhcp4.Adopt(params(), rng(), l).Tick(l.T1))
	if d.Dst != serverIP() || d.DstMAC != (dhcp4.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}) {
		t.Errorf("goes to %s at %s", d.Dst, d.DstMAC)
	}
}
