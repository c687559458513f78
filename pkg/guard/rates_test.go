package guard_test

import (
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/guard"
)

// A slow rate refills nothing while a test runs; what passes is the burst.
func TestWhatIsAboveThePortsRateIsDropped(t *testing.T) {
	arp, multicast := fine(), legitimate()["mDNS of IPv6"]
	unicast := legitimate()["UDP"]
	tests := map[string]struct {
		rates  guard.Rates
		frame  []byte
		kind   string
		passes int // of 20, at once
	}{
		"ARP":                      {guard.Rates{ARP: 1}, arp, "arp_rate", 1},
		"a burst in proportion":    {guard.Rates{ARP: 8}, arp, "arp_rate", 4},
		"multicast":                {guard.Rates{Multicast: 1}, multicast, "multicast_rate", 1},
		"multicast of IPv4":        {guard.Rates{Multicast: 1}, legitimate()["mDNS"], "multicast_rate", 1},
		"broadcast of IPv4":        {guard.Rates{Multicast: 1}, eth(broadcast, mac, typeIP4, ip4(own, anywhere, unix.IPPROTO_UDP, 0, udp(40000, 40000, nil))), "multicast_rate", 1},
		"ARP is multicast too":     {guard.Rates{ARP: -1, Multicast: 1}, arp, "multicast_rate", 1},
		"a larger burst":           {guard.Rates{Multicast: 25}, multicast, "multicast_rate", 5},
		"one host is no storm":     {guard.Rates{ARP: 1, Multicast: 1}, unicast, "multicast_rate", 20},
		"another kind is free":     {guard.Rates{ARP: 1}, multicast, "arp_rate", 20},
		"no limit":                 {guard.Rates{ARP: -1, Multicast: -1}, arp, "arp_rate", 20},
		"20 are less than usual":   {guard.Rates{}, arp, "arp_rate", 20},
		"and of multicast as well": {guard.Rates{}, multicast, "multicast_rate", 20},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := newLAN(t, "vethpl000000005")
			l.hush(t)
			l.port.Rates = test.rates
			l.add(t)
			const sent = 20
			passed := l.passingOf(t, sent, test.frame)
			drops, err := l.guard.DropsByPort(t.Context())
			must(t, err)
			if passed < test.passes {
				t.Errorf("%d of %d passed, want the first %d; dropped: %v", passed, sent, test.passes, drops[l.port.Name])
			}
			// The burst and the clock decide, so what did not pass was counted.
			if got := drops[l.port.Name][test.kind]; int(got) != sent-passed {
				t.Errorf("%d passed, %s is %d", passed, test.kind, got)
			}
			if test.passes < sent && passed == sent {
				t.Error("all passed")
			}
		})
	}
}

// passingOf counts how many of n equal frames the LAN host hears, sent at once.
func (l *lan) passingOf(t *testing.T, n int, frame []byte) int {
	t.Helper()
	frames := make(map[string][]byte, n)
	for i := range n {
		frames[string(rune('a'+i))] = frame
	}
	return len(l.passing(t, frames, legitimate()["UDP"]))
}

// hush keeps the Pod's own kernel from sending: it solicits routers and reports
// groups whenever it likes.
func (l *lan) hush(t *testing.T) {
	t.Helper()
	must(t, l.pod.Do(func() error {
		return os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0)
	}))
}

func TestARateHoldsAcrossALeaseChange(t *testing.T) {
	l := newLAN(t, "vethpl000000005")
	l.port.Rates = guard.Rates{ARP: 1}
	l.add(t)
	used := l.passingOf(t, 20, fine())
	next := l.port
	next.Addrs = append(slices.Clip(next.Addrs), l.port.Addrs[0].Next())
	must(t, l.guard.Set(t.Context(), l.port, next))
	drops, err := l.guard.DropsByPort(t.Context())
	must(t, err)
	if got := drops[l.port.Name]["arp_rate"]; int(got) != 20-used {
		t.Errorf("arp_rate is %d after a lease change, %d of 20 had passed", got, used)
	}
}
