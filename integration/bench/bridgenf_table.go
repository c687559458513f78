package main

import (
	"fmt"
	"math"
)

// nfShare is what is to be left of a Pod's throughput, whatever FORWARD has.
const nfShare = 0.9

func newNFTable(rounds nfRounds) table {
	t := table{
		Title:   fmt.Sprintf("A Pod to the LAN, with %d rules in iptables' FORWARD", forwardRules),
		Against: reference, Rounds: rounds,
	}
	gbits := func(r *nfRates) []float64 { return r.Gbits }
	small := func(r *nfRates) []float64 { return r.Small }
	t.Rows = append(rounds.rows("TCP", gigabits, gbits), rounds.rows("64-byte UDP", thousandFrames, small)...)
	for _, adds := range []struct {
		name string
		series
	}{{"ADD p50, with Services", rounds.With}, {"ADD p50, without", rounds.Without}} {
		t.Rows = append(t.Rows, row{
			Metric: adds.name, Unit: milliseconds,
			Podlan: measured(percentile(adds.sorted(), 50)), Reference: measured(math.NaN()),
		})
	}
	if left := rounds.share(podlan, podlan, gbits); !math.IsNaN(left) {
		t.Verdicts = []verdict{{
			Target: fmt.Sprintf("TCP, bridge-nf 1: at least %.1f of bridge-nf 0", nfShare), Value: left, Unit: times,
			Limit: nfShare, Pass: left >= nfShare,
		}}
	}
	return t
}

// rows are the rates, and what bridge-nf 1 leaves of them.
func (rounds nfRounds) rows(name string, u unit, of func(*nfRates) []float64) []row {
	both := func(metric string, u unit, ratio bool, value func(side string) float64) row {
		return row{Metric: name + ", " + metric, Unit: u, ratio: ratio, Podlan: measured(value(podlan)), Reference: measured(value(reference))}
	}
	rate := func(bridgeNF int) func(string) float64 {
		return func(side string) float64 { return median(rounds.of(side, bridgeNF, of)) }
	}
	return []row{
		both("bridge-nf 0", u, true, rate(0)),
		both("bridge-nf 1", u, true, rate(1)),
		both("1 / 0", times, false, func(side string) float64 { return rounds.share(side, side, of) }),
		{Metric: name + ", 1 without any rule / 0", Unit: times, Podlan: measured(math.NaN()), Reference: measured(rounds.share(ruleless, reference, of))},
	}
}

// share is the median of what bridge-nf 1 leaves of what a side has with 0, turn by
// turn.
func (rounds nfRounds) share(side, whole string, of func(*nfRates) []float64) float64 {
	without, with := rounds.of(whole, 0, of), rounds.of(side, 1, of)
	var shares []float64
	for i := range min(len(without), len(with)) {
		if without[i] > 0 {
			shares = append(shares, with[i]/without[i])
		}
	}
	return median(shares)
}

func (rounds nfRounds) of(side string, bridgeNF int, of func(*nfRates) []float64) []float64 {
	for _, r := range rounds.Rates {
		if r.Side == side && r.BridgeNF == bridgeNF {
			return of(r)
		}
	}
	return nil
}
