package daemon

import (
	"cmp"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/podlan/podlan/pkg/lease"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// collector tells what is, when it is asked: what has happened, metrics counts.
type collector struct {
	status                   func() leaseapi.Status
	leases, carrier, segment *prometheus.Desc
}

func newCollector(status func() leaseapi.Status) collector {
	return collector{
		status:  status,
		leases:  prometheus.NewDesc("podlan_leases", "Leases by state.", []string{"state"}, nil),
		carrier: prometheus.NewDesc("podlan_uplink_carrier", "1 if the uplink of a segment with leases has carrier, else 0.", []string{"uplink"}, nil),
		segment: prometheus.NewDesc("podlan_segment_leases", "Leases by uplink, or bridge of Pods that are spoken from, and VLAN.", []string{"link", "vlan"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c collector) Describe(to chan<- *prometheus.Desc) {
	to <- c.leases
	to <- c.carrier
	to <- c.segment
}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	status := c.status()
	for state, n := range status.Leases {
		to <- prometheus.MustNewConstMetric(c.leases, prometheus.GaugeValue, float64(n), string(state))
	}
	uplinks, domains := map[string]float64{}, map[lease.Domain]int{} // two segments may have one
	for _, s := range status.Segments {
		domains[lease.Domain{Link: cmp.Or(s.Uplink, s.Bridge), VLAN: s.VLAN}] += s.Leases
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
	for at, n := range domains {
		to <- prometheus.MustNewConstMetric(c.segment, prometheus.GaugeValue, float64(n), at.Link, vlanLabel(at.VLAN))
	}
}
