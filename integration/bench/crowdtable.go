package main

import "fmt"

// bareLoop is what podland is compared with where a crowd asks.
const bareLoop = "bare loop"

func newCrowdTable(opts options, rounds []crowdRound) table {
	t := table{Title: fmt.Sprintf("%d clients at once, dnsmasq --no-ping", opts.clients), Against: bareLoop, Rounds: rounds}
	over := func(side string, fold func([]float64) float64, of func(crowdRound) float64) float64 {
		var values []float64
		for _, r := range rounds {
			if r.Side == side {
				values = append(values, of(r))
			}
		}
		return fold(values)
	}
	add := func(name string, u unit, ratio bool, fold func([]float64) float64, of func(crowdRound) float64) (us, them float64) {
		us, them = over(podlan, fold, of), over(bareLoop, fold, of)
		t.Rows = append(t.Rows, row{Metric: name, Unit: u, ratio: ratio, Podlan: measured(us), Reference: measured(them)})
		return us, them
	}
	us, them := add("until the last client has its address", milliseconds, true, median,
		func(r crowdRound) float64 { return 1000 * r.Wall })
	haveOne, _ := add("clients with an address of their own", number, false, lowest,
		func(r crowdRound) float64 { return float64(r.Bound) })
	if opts.only != "" {
		return t
	}
	all := float64(opts.clients)
	t.Verdicts = []verdict{
		{Target: "all have an address", Value: haveOne, Unit: number, Limit: all, Pass: haveOne >= all},
		{Target: "within 1.5 times the bare loop's time", Value: us / them, Unit: times, Limit: 1.5, Pass: haveOne >= all && us/them <= 1.5},
	}
	return t
}
