package daemon

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// collector tells what is, when it is asked: what has happened, metrics counts.
type collector struct {
	status          func() leaseapi.Status
	leases, carrier *prometheus.Desc
}

func newCollector(status func() leaseapi.Status) collector {
	return collector{
		status:  status,
		leases:  prometheus.NewDesc("podlan_leases", "Leases by state.", []string{"state"}, nil),
		carrier: prometheus.NewDesc("podlan_uplink_carrier", "1 if the uplink of a segment with leases has carrier, else 0.", []string{"uplink"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c collector) Describe(to chan<- *prometheus.Desc) {
	to <- c.leases
	to <- c.carrier
}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	status := c.status()
	for state, n := range status.Leases {
		to <- prometheus.MustNewConstMetric(c.leases, prometheus.GaugeValue, float64(n), string(state))
	}
	uplinks := map[string]float64{} // two segments may have one
	for _, s := range status.Segments {
		up := 0.0
		if s.Carrier {
			up = 1
		}
		uplinks[s.Uplink] = max(up, uplinks[s.Uplink])
	}
	delete(uplinks, "")
	for uplink, up := range uplinks {
		to <- prometheus.MustNewConstMetric(c.carrier, prometheus.GaugeValue, up, uplink)
	}
}
