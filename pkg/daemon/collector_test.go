package daemon

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/podlan/podlan/pkg/lease"
	"github.com/podlan/podlan/pkg/leaseapi"
)

func TestMetricsTellWhatIsAndWhatHasHappened(t *testing.T) {
	observer, registry := newMetrics()
	registry.MustRegister(newCollector(func() leaseapi.Status {
		return leaseapi.Status{
			Leases: map[leaseapi.State]int{leaseapi.StateBound: 3, leaseapi.StateLost: 1},
			Segments: []leaseapi.Segment{
				{Uplink: "eth1", Carrier: true},
				{Uplink: "eth1", Bridge: "lan0"},
				{Uplink: "eth2"},
				{Bridge: "lan7"},
				{Uplink: "eth1", VLAN: 10, Leases: 2},
				{Uplink: "eth1", VLAN: 20, Leases: 1},
				{Uplink: "eth1", VLAN: 20, Leases: 3},
			},
		}
	}))
	observer.Sent(lease.Domain{Link: "eth1"}, "DISCOVER")
	observer.Received(lease.Domain{Link: "eth1", VLAN: 20}, "OFFER")
	observer.port("closed")
	answer := httptest.NewRecorder()
	metricsHandler(registry).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text, err := io.ReadAll(answer.Body)
	must(t, err)
	for _, want := range []string{
		`podlan_leases{state="bound"} 3`, `podlan_leases{state="lost"} 1`, `podlan_uplink_carrier{uplink="eth2"} 0`,
		`podlan_dhcp_messages_total{direction="sent",link="eth1",type="DISCOVER",vlan=""} 1`,
		`podlan_dhcp_messages_total{direction="received",link="eth1",type="OFFER",vlan="20"} 1`,
		`podlan_segment_leases{link="eth1",vlan="10"} 2`, `podlan_segment_leases{link="eth1",vlan="20"} 4`, `podlan_segment_leases{link="lan7",vlan=""} 0`,
		`podlan_port_events_total{event="closed"} 1`,
	} {
		if !strings.Contains(string(text), want+"\n") {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}
