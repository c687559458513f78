package dhcp4_test

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/dhcp4"
)

func TestLeaseTimesAreBroughtIntoOrder(t *testing.T) {
	for name, tc := range map[string]struct {
		lease, t1, t2  time.Duration // 0: not sent
		wantT1, wantT2 time.Duration // before the jitter
	}{
		"defaults":                    {time.Hour, 0, 0, 30 * time.Minute, 52*time.Minute + 30*time.Second},
		"as the server says":          {time.Hour, 10 * time.Minute, 20 * time.Minute, 10 * time.Minute, 20 * time.Minute},
		"T1 after T2":                 {time.Hour, 50 * time.Minute, 35 * time.Minute, 20 * time.Minute, 35 * time.Minute},
		"T1 after the end":            {time.Hour, 2 * time.Hour, 0, 30 * time.Minute, 52*time.Minute + 30*time.Second},
		"T2 after the end":            {time.Hour, 10 * time.Minute, 2 * time.Hour, 10 * time.Minute, 52*time.Minute + 30*time.Second},
		"T1 equal to T2":              {time.Hour, 35 * time.Minute, 35 * time.Minute, 20 * time.Minute, 35 * time.Minute},
		"T2 equal to the lease":       {time.Hour, 0, time.Hour, 30 * time.Minute, 52*time.Minute + 30*time.Second},
		"a lease of a second":         {time.Second, 0, 0, time.Second / 2, 875 * time.Millisecond},
		"the longest that is no ever": {0xfffffffe * time.Second, 0, 0, 0x7fffffff * time.Second, 0xfffffffe * time.Second / 8 * 7},
	} {
		t.Run(name, func(t *testing.T) {
			opts := generous().with(51, secs(tc.lease))
			if tc.t1 != 0 {
				opts = opts.with(58, secs(tc.t1))
			}
			if tc.t2 != 0 {
				opts = opts.with(59, secs(tc.t2))
			}
			l, _ := bound(t, opts).Lease()
			early := boot + tc.wantT1 - l.T1
			earlyT2 := boot + tc.wantT2 - l.T2
			if early < 0 || early > tc.wantT1/10 || earlyT2 < 0 || earlyT2 > (tc.wantT2-tc.wantT1)/10 || l.Expiry != boot+tc.lease {
				t.Errorf("T1 %s, T2 %s, end %s", l.T1-boot, l.T2-boot, l.Expiry-boot)
			}
			if l.T1 >= l.T2 || l.T2 >= l.Expiry {
				t.Error("T1 < T2 < end does not hold")
			}
		})
	}
}

func TestRoutes(t *testing.T) {
	var (
		gw      = netip.MustParseAddr("192.0.2.254")
		router  = b4("192.0.2.254")
		byRt    = dhcp4.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), GW: gw}
		statics = append(append(b4("10.0.0.0"), b4("192.0.2.9")...), append(b4("198.51.100.7"), b4("192.0.2.9")...)...)
	)
	many := []byte{}
	for i := range 300 {
		many = append(many, 24, 10, 0, byte(i), 192, 0, 2, 9)
	}
	for name, tc := range map[string]struct {
		opts options
		gw   netip.Addr
		want []dhcp4.Route
		n    int
	}{
		"of option 3": {generous(), gw, []dhcp4.Route{byRt}, 1},
		"of option 33, by class or to a host": {generous().with(33, statics), gw, []dhcp4.Route{
			{Dst: netip.MustParsePrefix("10.0.0.0/8"), GW: netip.MustParseAddr("192.0.2.9")},
			{Dst: netip.MustParsePrefix("198.51.100.7/32"), GW: netip.MustParseAddr("192.0.2.9")},
			byRt,
		}, 3},
		"of 121 alone": {generous().with(33, statics).with(121, []byte{8, 10, 192, 0, 2, 9, 0, 192, 0, 2, 7}), netip.MustParseAddr("192.0.2.7"), []dhcp4.Route{
			{Dst: netip.MustParsePrefix("10.0.0.0/8"), GW: netip.MustParseAddr("192.0.2.9")},
			{Dst: netip.MustParsePrefix("0.0.0.0/0"), GW: netip.MustParseAddr("192.0.2.7")},
		}, 2},
		"of 121, on-link": {generous().with(121, []byte{24, 10, 1, 2, 0, 0, 0, 0}), netip.Addr{}, []dhcp4.Route{
			{Dst: netip.MustParsePrefix("10.1.2.0/24")},
		}, 1},
		"of 121, host bits cleared": {generous().with(121, []byte{9, 10, 255, 192, 0, 2, 9}), netip.Addr{}, []dhcp4.Route{
			{Dst: netip.MustParsePrefix("10.128.0.0/9"), GW: netip.MustParseAddr("192.0.2.9")},
		}, 1},
		"of 121 as far as it is whole":   {generous().with(121, []byte{8, 10, 192, 0, 2, 9, 33, 1, 2}), netip.Addr{}, nil, 1},
		"a ruined 121 leaves option 3":   {generous().with(121, []byte{40, 1, 2}), gw, []dhcp4.Route{byRt}, 1},
		"of 121, in parts (RFC 3396)":    {generous().with(121, many[:800]), netip.Addr{}, nil, 100},
		"never more than 256":            {generous().with(121, many), netip.Addr{}, nil, 256},
		"a ruined option 3 is no router": {generous().with(3, router[:3]), netip.Addr{}, nil, 0},
		"a router of zeros is none":      {generous().with(3, make([]byte, 4)), netip.Addr{}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l, _ := bound(t, tc.opts).Lease()
			if l.Router != tc.gw || len(l.Routes) != tc.n {
				t.Errorf("router %s, %d routes: %v", l.Router, len(l.Routes), l.Routes)
			}
			for i := range tc.want {
				if l.Routes[i] != tc.want[i] {
					t.Errorf("route %d is %v, %v wanted", i, l.Routes[i], tc.want[i])
				}
			}
		})
	}
}

func TestWhatThePodIsToldIsClean(t *testing.T) {
	opts := generous().
		with(6, append(b4("192.0.2.53"), append(b4("0.0.0.0"), b4("198.51.100.53")...)...)).
		with(15, []byte("example.org\x00")).
		with(119, []byte("\x03lan\x07example\x00\x05e\nvil\x00\x01x\xc0\x04")).
		with(26, []byte{0x05, 0xdc}).
		with(42, append(b4("192.0.2.123"), b4("127.0.0.1")...))
	l, _ := bound(t, opts).Lease()
	if len(l.DNS) != 2 || l.DNS[1] != netip.MustParseAddr("198.51.100.53") {
		t.Errorf("DNS %v", l.DNS)
	}
	if len(l.NTP) != 1 || l.NTP[0] != netip.MustParseAddr("192.0.2.123") {
		t.Errorf("NTP %v", l.NTP)
	}
	if l.Domain != "example.org" || strings.Join(l.Search, " ") != "lan.example x.example" || l.MTU != 1500 {
		t.Errorf("domain %q, search %q, MTU %d", l.Domain, l.Search, l.MTU)
	}
	l, _ = bound(t, opts.with(15, []byte("a b\nnameserver 6.6.6.6")).with(26, []byte{0, 67}).with(119, []byte{5, 'a'})).Lease()
	if l.Domain != "" || l.MTU != 0 || l.Search != nil {
		t.Errorf("domain %q, search %q, MTU %d", l.Domain, l.Search, l.MTU)
	}
}

func TestNameServersAndTimeServersAreBounded(t *testing.T) {
	l, _ := bound(t, generous().with(6, bytes.Repeat(b4("192.0.2.53"), 300)).with(42, bytes.Repeat(b4("192.0.2.53"), 300))).Lease()
	if len(l.DNS) != 32 || len(l.NTP) != 32 {
		t.Errorf("%d name servers, %d time servers", len(l.DNS), len(l.NTP))
	}
}

func TestSearchLists(t *testing.T) {
	long := strings.Repeat("\x3f"+strings.Repeat("x", 63), 4)
	for name, tc := range map[string]struct{ raw, want string }{
		"of RFC 3397":                {"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04", "eng.apple.com marketing.apple.com"},
		"a pointer to a pointer":     {"\x01a\x00\x01b\xc0\x00\x01c\xc0\x03", "a b.a c.b.a"},
		"a pointer alone":            {"\x01a\x00\xc0\x00", "a a"},
		"a pointer to itself":        {"\x01a\x00\xc0\x03", "a"},
		"a pointer ahead":            {"\x01a\x00\xc0\x05\x01b\x00", "a"},
		"a circle":                   {"\x01a\xc0\x00", ""},
		"a pointer cut off":          {"\x01a\x00\xc0", "a"},
		"a label cut off":            {"\x01a\x00\x05b", "a"},
		"a label type that is none":  {"\x01a\x00\x41b\x00", "a"},
		"the last without its end":   {"\x01a\x00\x01b", "a b"},
		"a name that is too long":    {long + "\x00\x01a\x00", ""},
		"an empty name":              {"\x00\x01a\x00", "a"},
		"never more than 32 of them": {strings.Repeat("\x01a\x00", 100), strings.TrimSuffix(strings.Repeat("a ", 32), " ")},
	} {
		t.Run(name, func(t *testing.T) {
			l, _ := bound(t, generous().with(119, []byte(tc.raw))).Lease()
			if got := strings.Join(l.Search, " "); got != tc.want {
				t.Errorf("%q, %q wanted", got, tc.want)
			}
		})
	}
}

func TestTheMaskDefaultsToTheClass(t *testing.T) {
	l, _ := bound(t, generous().with(1, nil)).Lease()
	if l.Address != netip.PrefixFrom(leased(), 24) {
		t.Errorf("%s, /24 wanted", l.Address)
	}
	l, _ = bound(t, generous().with(1, b4("255.255.255.255"))).Lease()
	if l.Address != netip.PrefixFrom(leased(), 32) {
		t.Errorf("%s, /32 wanted", l.Address)
	}
}

func TestALeaseSurvivesItsFile(t *testing.T) {
	for _, c := range []*dhcp4.Client{
		bound(t, generous().with(6, b4("192.0.2.53")).with(42, b4("192.0.2.123")).with(119, []byte("\x01a\x00"))),
		bound(t, generous().with(51, []byte{0xff, 0xff, 0xff, 0xff}).with(3, nil)),
	} {
		want, _ := c.Lease()
		raw, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got dhcp4.Lease
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		same := cmp.Options{
			cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
			cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
		}
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Errorf("%s\n(-want +got):\n%s", raw, diff)
		}
	}
}

func TestMACsAreReadAsPeopleWriteThem(t *testing.T) {
	for in, ok := range map[string]bool{
		"02:01:02:03:04:05": true, "02-01-02-03-04-05": true, "0201.0203.0405": true,
		"": false, "02:01": false, "02:01:02:03:04:05:06:07": false,
	} {
		m, err := dhcp4.ParseMAC(in)
		if (err == nil) != ok || ok && m != podMAC() {
			t.Errorf("%q: %s, %v", in, m, err)
		}
	}
}
