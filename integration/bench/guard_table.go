package main

import (
	"fmt"
	"math"
)

// What the guard may cost a frame over no guard, whichever is more.
const (
	guardNanos = 400
	guardShare = 0.25
)

func newGuardTable(opts options, rounds guardRounds) table {
	t := table{Title: "A frame from a guarded port to the uplink", Against: spoofchk, Rounds: rounds}
	cost := func(way string, n int) float64 {
		var nanos []float64
		for _, r := range rounds.Frames {
			if r.Way == way && r.Ports == n {
				nanos = append(nanos, r.Nanos)
			}
		}
		return median(nanos)
	}
	allowed, most := 0.0, 0.0
	for _, n := range guardSizes() {
		none, us := cost(unguarded, n), cost(podlan, n)
		t.Rows = append(t.Rows,
			row{Metric: ports(n) + ", no guard", Unit: nanoseconds, Podlan: measured(none), Reference: measured(none)},
			row{Metric: ports(n) + ", guarded", Unit: nanoseconds, Podlan: measured(us), Reference: measured(cost(spoofchk, n)), ratio: true})
		// As a share of what is allowed, which depends on what no guard costs.
		share := (us - none) / math.Max(guardNanos, guardShare*none)
		if n == guardSizes()[0] || share > most {
			most, allowed = share, math.Max(guardNanos, guardShare*none)
		}
	}
	t.Rows = append(t.Rows, row{
		Metric: fmt.Sprintf("from a flush to the restore, %d Pods", opts.burst), Unit: milliseconds,
		Podlan: measured(median(rounds.Restores)), Reference: measured(math.NaN()),
	})
	flat := cost(podlan, 250) / cost(podlan, 1)
	t.Verdicts = []verdict{
		{Target: "250 ports at most 1.1 of 1 port", Value: flat, Unit: times, Limit: 1.1, Pass: flat <= 1.1},
		{
			Target: "over no guard at most 0.4 µs or 25 %, whichever is more", Value: most * allowed, Unit: nanoseconds,
			Limit: allowed, Pass: most <= 1,
		},
	}
	return t
}

func ports(n int) string {
	if n == 1 {
		return "1 port"
	}
	return fmt.Sprintf("%d ports", n)
}
