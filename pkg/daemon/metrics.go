package daemon

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/podlan/podlan/pkg/lease"
)

// metrics are what Prometheus is told; it implements lease.Observer.
type metrics struct {
	messages  *prometheus.CounterVec
	malformed prometheus.Counter
	acquired  prometheus.Histogram
	leases    *prometheus.CounterVec
	ports     *prometheus.CounterVec
}

func newMetrics() (*metrics, *prometheus.Registry) {
	m := &metrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "podlan_dhcp_messages_total", Help: "DHCP messages by direction, type, link and VLAN.",
		}, []string{"direction", "type", "link", "vlan"}),
		malformed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "podlan_dhcp_malformed_total", Help: "Datagrams to port 68 that were no DHCP reply.",
		}),
		acquired: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "podlan_lease_acquire_seconds", Help: "Time from an ADD's request to the server's grant.",
			Buckets: []float64{.005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30},
		}),
		leases: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "podlan_lease_events_total", Help: "What became of leases.",
		}, []string{"event"}),
		ports: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "podlan_port_events_total", Help: "What podland did to ports and uplinks by itself.",
		}, []string{"event"}),
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.messages, m.malformed, m.acquired, m.leases, m.ports)
	return m, registry
}

func metricsHandler(r *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	return mux
}

func (m *metrics) Sent(at lease.Domain, kind string)     { m.message("sent", at, kind) }
func (m *metrics) Received(at lease.Domain, kind string) { m.message("received", at, kind) }

func (m *metrics) message(direction string, at lease.Domain, kind string) {
	m.messages.WithLabelValues(direction, kind, at.Link, vlanLabel(at.VLAN)).Inc()
}

// vlanLabel is empty, and so no label to Prometheus, where there is no VLAN.
func vlanLabel(vid uint16) string {
	if vid == 0 {
		return ""
	}
	return strconv.Itoa(int(vid))
}

func (m *metrics) Malformed() { m.malformed.Inc() }

func (m *metrics) Acquired(took time.Duration) {
	m.acquired.Observe(took.Seconds())
	m.leases.WithLabelValues("acquired").Inc()
}

func (m *metrics) Failed()                { m.leases.WithLabelValues("failed").Inc() }
func (m *metrics) Extended()              { m.leases.WithLabelValues("extended").Inc() }
func (m *metrics) Lost()                  { m.leases.WithLabelValues("lost").Inc() }
func (m *metrics) Released()              { m.leases.WithLabelValues("released").Inc() }
func (m *metrics) Readopted(n int)        { m.leases.WithLabelValues("readopted").Add(float64(n)) }
func (m *metrics) Conflicts(event string) { m.leases.WithLabelValues(event).Inc() }

// port counts what podland did to a port: closed, opened, replaced; or carrier,
// when an uplink's returned.
func (m *metrics) port(event string) { m.ports.WithLabelValues(event).Inc() }
