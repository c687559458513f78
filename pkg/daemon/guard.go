package daemon

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/podlan/podlan/pkg/attachment"
	"github.com/podlan/podlan/pkg/guard"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// guardView tells what the guard lets out, by the records, and what it has
// dropped, by the kernel.
type guardView struct {
	store *attachment.Store
	guard *guard.Guard
}

func (a *api) guarded(w http.ResponseWriter, r *http.Request) {
	view, err := a.guard(r.Context())
	if err != nil {
		refuse(w, &leaseapi.Error{Code: leaseapi.CodeIO, Msg: "what the guard does could not be read", Details: err.Error()})
		return
	}
	answer(w, view)
}

func (v guardView) view(ctx context.Context) (leaseapi.Guard, error) {
	records, err := v.store.All()
	if err != nil {
		return leaseapi.Guard{}, err
	}
	dropped, err := v.guard.Drops(ctx)
	if err != nil {
		return leaseapi.Guard{}, err
	}
	byPort, err := v.guard.DropsByPort(ctx)
	if err != nil {
		return leaseapi.Guard{}, err
	}
	view := leaseapi.Guard{Ports: []leaseapi.GuardedPort{}, Dropped: dropped}
	for _, rec := range records {
		port := guardedPort(rec)
		port.Dropped = byPort[rec.HostEnd]
		maps.DeleteFunc(port.Dropped, func(_ string, n uint64) bool { return n == 0 })
		view.Ports = append(view.Ports, port)
	}
	slices.SortFunc(view.Ports, func(a, b leaseapi.GuardedPort) int { return strings.Compare(a.String(), b.String()) })
	return view, nil
}

func guardedPort(rec attachment.Record) leaseapi.GuardedPort {
	allowed := rec.GuardPort()
	port := leaseapi.GuardedPort{
		Key: rec.Key, Port: rec.HostEnd, MAC: rec.MAC, Addresses: allowed.Addrs, AnyAddress: allowed.LayerTwo,
		Opened: []string{"off"}, Closed: rec.Closed,
	}
	if rec.Lease != nil {
		port.Pod = rec.Lease.Pod
	}
	if !rec.Guard {
		return port
	}
	port.Opened, port.ExtraIPs, port.Trunk = opened(allowed), allowed.ExtraAddrs, allowed.VLANs()
	for _, mac := range allowed.ExtraMACs {
		port.ExtraMACs = append(port.ExtraMACs, mac.String())
	}
	return port
}

// opened names what the port may beyond its MAC and its addresses, in the words
// of the conf.
func opened(p guard.Port) []string {
	names := map[string]bool{
		"dhcpServer": p.DHCPServer, "dhcpClient": p.DHCPClient, "routerAdvertisement": p.RouterAdvertisement,
		"vrrp": p.VRRP, "multicastRouting": p.MulticastRouting,
		"extraMACs": len(p.ExtraMACs) > 0, "extraIPs": len(p.ExtraAddrs) > 0, "rates": p.Rates != guard.Rates{},
		"vlanTrunk": len(p.Trunk) > 0,
	}
	maps.DeleteFunc(names, func(_ string, open bool) bool { return !open })
	return slices.Sorted(maps.Keys(names))
}

// drops are the guard's counters, which the kernel keeps, for Prometheus.
type drops struct {
	guard *guard.Guard
	total *prometheus.Desc
}

// scrapeTime is how long a scrape may wait for the kernel.
const scrapeTime = 5 * time.Second

func newDrops(g *guard.Guard) drops {
	return drops{g, prometheus.NewDesc("podlan_guard_dropped_total", "Frames that the guard dropped, by the kind of reason.", []string{"kind"}, nil)}
}

// Describe implements prometheus.Collector.
func (d drops) Describe(descs chan<- *prometheus.Desc) { descs <- d.total }

// Collect implements prometheus.Collector. A node without nftables has all the
// other metrics.
func (d drops) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	byKind, err := d.guard.Drops(ctx)
	if err != nil {
		return
	}
	for kind, n := range byKind {
		metrics <- prometheus.MustNewConstMetric(d.total, prometheus.CounterValue, float64(n), kind)
	}
}
