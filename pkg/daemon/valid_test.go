package daemon

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/podlan/podlan/pkg/leaseapi"
)

func TestAPolicyThatCannotBeKeptIsRefused(t *testing.T) {
	addr := netip.MustParseAddr
	cases := map[string]struct {
		change func(*leaseapi.Request)
		words  []string
	}{
		"an unknown conflict":    {func(r *leaseapi.Request) { r.Conflict = "never" }, []string{`"conflict"`, `"never"`, "optimistic, wait, off"}},
		"an unknown whenLost":    {func(r *leaseapi.Request) { r.WhenLost = "keep" }, []string{`"whenLost"`, `"keep"`, "withdraw, replace"}},
		"no Pod access":          {func(r *leaseapi.Request) { r.WhenLost = leaseapi.Replace }, []string{"whenLost: replace", "pod-access.conf"}},
		"another main plugin's":  {func(r *leaseapi.Request) { r.WhenLost, r.Confirm, r.Netns = leaseapi.Replace, leaseapi.ByAddress, "/x" }, []string{`"whenLost"`, "podlan-bridge"}},
		"a negative pace":        {func(r *leaseapi.Request) { r.Pace = -1 }, []string{`"pace"`, `"-1"`, "1 to 500"}},
		"too much pace":          {func(r *leaseapi.Request) { r.Pace = 501 }, []string{`"pace"`, "501"}},
		"a server of IPv6":       {func(r *leaseapi.Request) { r.Servers = []netip.Addr{addr("2001:db8::1")} }, []string{`"servers"`, "2001:db8::1"}},
		"any server":             {func(r *leaseapi.Request) { r.Servers = []netip.Addr{addr("0.0.0.0")} }, []string{`"servers"`, "0.0.0.0"}},
		"no address of a server": {func(r *leaseapi.Request) { r.Servers = []netip.Addr{{}} }, []string{`"servers"`}},
		"too many servers":       {func(r *leaseapi.Request) { r.Servers = make([]netip.Addr, 33) }, []string{`"servers"`, "33", "32"}},
		"VID 4095":               {func(r *leaseapi.Request) { r.VLAN = 4095 }, []string{`"vlan"`, `"4095"`, "0 to 4094"}},
		"the highest number":     {func(r *leaseapi.Request) { r.VLAN = 0xffff }, []string{`"vlan"`, `"65535"`, "0 to 4094"}},
		"untagged, no VLAN":      {func(r *leaseapi.Request) { r.Untagged = true }, []string{`"untagged"`, "no vlan"}},
		"an unknown part":        {func(r *leaseapi.Request) { r.Ignore = []leaseapi.Part{"ntp"} }, []string{`"ignore"`, `"ntp"`, "dns, domain"}},
		"no network":             {func(r *leaseapi.Request) { r.Protected = []netip.Prefix{{}} }, []string{`"protected"`}},
		"too many networks":      {func(r *leaseapi.Request) { r.Protected = make([]netip.Prefix, 257) }, []string{`"protected"`, "257", "256"}},
	}
	s := serve(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			req := goodRequest()
			c.change(&req)
			status, answer := s.call(t, http.MethodPut, onePath, text(t, req))
			refused(t, status, answer, http.StatusBadRequest, leaseapi.CodeConfig, c.words...)
		})
	}
	if len(s.asked) != 0 {
		t.Errorf("the keeper was asked %d times", len(s.asked))
	}
}

func TestAPolicyIsTakenAsItIs(t *testing.T) {
	s := serve(t)
	s.api.pods = true
	req := goodRequest()
	req.Conflict, req.WhenLost, req.Pace, req.RapidCommit = leaseapi.ConflictWait, leaseapi.Replace, 10, true
	req.VLAN, req.Untagged = 4094, true
	req.Servers, req.Ignore = []netip.Addr{netip.MustParseAddr("192.0.2.1")}, []leaseapi.Part{leaseapi.PartDNS}
	req.Protected = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}
	body := text(t, req)
	if status, answer := s.call(t, http.MethodPut, onePath, body); status != http.StatusOK {
		t.Errorf("%d %s", status, answer)
	}
	if len(s.asked) != 1 || strings.TrimSpace(text(t, s.asked[0])) != strings.TrimSpace(body) {
		t.Errorf("asked of the keeper: %v, want %s", s.asked, body)
	}
}
