package daemon

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/podlan/podlan/pkg/leaseapi"
)

func TestMetricsTellWhatIsAndWhatHasHappened(t *testing.T) {
	observer, registry := newMetrics()
	registry.MustRegister(newCollector(func() leaseapi.Status {
		return leaseapi.Status{
			Leases:   map[leaseapi.State]int{leaseapi.StateBound: 3, leaseapi.StateLost: 1},
			Segments: []leaseapi.Segment{{Uplink: "eth1", Carrier: true}, {Uplink: "eth1", Bridge: "lan0"}, {Uplink: "eth2"}, {Bridge: "lan7"}},
		}
	}))
	observer.Sent("DISCOVER")
	observer.port("closed")
	answer := httptest.NewRecorder()
	metricsHandler(registry).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text, err := io.ReadAll(answer.Body)
	must(t, err)
	for _, want := range []string{
		`podlan_leases{state="bound"} 3`, `podlan_leases{state="lost"} 1`, `podlan_uplink_carrier{uplink="eth2"} 0`,
		`podlan_dhcp_messages_total{direction="sent",type="DISCOVER"} 1`, `podlan_port_events_total{event="closed"} 1`,
	} {
		if !strings.Contains(string(text), want+"\n") {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}
