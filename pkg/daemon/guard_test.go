package daemon

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leaseapi/client"
	"github.com/podlan/podlan/pkg/netconf"
)

func TestTheGuardIsShownPortByPort(t *testing.T) {
	address := netip.MustParsePrefix("192.0.2.7/24")
	extra := netip.MustParseAddr("192.0.2.9")
	base := attachment.Record{Key: oneKey(), HostEnd: "vethpl000000001", MAC: "02:00:00:00:00:01", Guard: true, IPAM: "host-local", Addrs: []netip.Prefix{address}}
	plain := leaseapi.GuardedPort{Key: oneKey(), Port: base.HostEnd, MAC: base.MAC, Addresses: []netip.Addr{address.Addr()}}
	cases := map[string]struct {
		change func(*attachment.Record)
		want   func(*leaseapi.GuardedPort)
	}{
		"strict": {func(*attachment.Record) {}, func(*leaseapi.GuardedPort) {}},
		"off":    {func(r *attachment.Record) { r.Guard = false }, func(p *leaseapi.GuardedPort) { p.Opened = []string{"off"} }},
		"opened by name": {
			func(r *attachment.Record) {
				mac := netconf.MAC(net.HardwareAddr{2, 0, 0, 0, 0, 9})
				r.Opened = netconf.Guard{
					DHCPServer: true, RouterAdvertisement: true, VRRP: true, MulticastRouting: true, Rates: netconf.Rates{ARP: -1},
					ExtraMACs: []netconf.MAC{mac}, ExtraIPs: []netip.Addr{extra},
				}
			},
			func(p *leaseapi.GuardedPort) {
				p.Opened = []string{"dhcpServer", "extraIPs", "extraMACs", "multicastRouting", "rates", "routerAdvertisement", "vrrp"}
				p.ExtraMACs, p.ExtraIPs = []string{"02:00:00:00:00:09"}, []netip.Addr{extra}
			},
		},
		"with a trunk": {
			func(r *attachment.Record) {
				r.Trunk = []netconf.VLANRange{{First: 20, Last: 20}, {First: 30, Last: 39}}
			},
			func(p *leaseapi.GuardedPort) { p.Opened, p.Trunk = []string{"vlanTrunk"}, []string{"20", "30-39"} },
		},
		"leased from the Pod, and lost": {
			func(r *attachment.Record) {
				r.DHCP, r.Closed, r.Lease = true, "the lease ran out", &leaseapi.Request{Pod: "shop/web-0"}
			},
			func(p *leaseapi.GuardedPort) {
				p.Opened, p.Closed, p.Pod = []string{"dhcpClient"}, "the lease ran out", "shop/web-0"
			},
		},
		"without IPAM": {
			func(r *attachment.Record) { r.IPAM, r.Addrs = "", nil },
			func(p *leaseapi.GuardedPort) { p.Addresses, p.AnyAddress = nil, true },
		},
	}
	same := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			rec, want := base, plain
			c.change(&rec)
			c.want(&want)
			if diff := cmp.Diff(want, guardedPort(rec), same); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheAPITellsOfTheGuard(t *testing.T) {
	r, s := newReconciled(t), serve(t)
	s.api.guard = guardView{r.store, r.teardown.Guard}.view
	ask := func() leaseapi.Guard {
		t.Helper()
		view, err := client.New(s.socket).Guard(t.Context())
		must(t, err)
		return view
	}
	if none := ask(); none.Ports == nil || len(none.Ports)+len(none.Dropped) > 0 {
		t.Errorf("without ports: %+v", none)
	}
	rec, _ := r.attached(t)
	got := ask()
	if len(got.Ports) != 1 || got.Ports[0].Port != rec.HostEnd || got.Ports[0].Dropped != nil {
		t.Errorf("ports: %+v", got.Ports)
	}
	if n, counted := got.Dropped["wrong_mac"]; !counted || n != 0 {
		t.Errorf("dropped: %v", got.Dropped)
	}
}

func TestWhatTheGuardDropsIsAMetric(t *testing.T) {
	r := newReconciled(t)
	_, registry := newMetrics()
	registry.MustRegister(newDrops(r.teardown.Guard))
	scrape := func() string {
		t.Helper()
		answer := httptest.NewRecorder()
		metricsHandler(registry).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
		body, err := io.ReadAll(answer.Body)
		must(t, err)
		if answer.Code != http.StatusOK {
			t.Fatalf("%d %s", answer.Code, body)
		}
		return string(body)
	}
	const kind = `podlan_guard_dropped_total{kind="wrong_mac"} 0`
	if strings.Contains(scrape(), kind) {
		t.Error("counted without a table")
	}
	r.attached(t)
	if !strings.Contains(scrape(), kind) {
		t.Errorf("not counted:\n%s", scrape())
	}
}
