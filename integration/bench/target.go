package main

import "fmt"

// target is a promise about the rounds of both sides.
type target struct {
	name string
	// value is what was measured, limit what it must not exceed (or, with
	// atLeast, not fall below).
	value   func([]round) float64
	limit   float64
	atLeast bool
	unit    unit
	// timed: says nothing where the server takes its time.
	timed bool
}

// verdict is what came of a target.
type verdict struct {
	Target string  `json:"target"`
	Value  float64 `json:"value"`
	Unit   unit    `json:"unit,omitempty"`
	Limit  float64 `json:"limit"`
	Pass   bool    `json:"pass"`
}

func (t target) judge(rounds []round) verdict {
	v := verdict{Target: t.name, Value: t.value(rounds), Unit: t.unit, Limit: t.limit}
	v.Pass = v.Value <= v.Limit
	if t.atLeast {
		v.Pass = v.Value >= v.Limit
	}
	return v
}

func (o options) targets() []target {
	all := float64(o.burst)
	return append(o.timeTargets(),
		target{name: "no ADD and no DEL fails", value: worst(highest, failures), unit: number},
		target{
			name: fmt.Sprintf("%d at once: distinct addresses", o.burst), limit: all, atLeast: true, unit: number,
			value: worst(lowest, func(r round) float64 { return float64(r.Distinct) }),
		},
		target{
			name: fmt.Sprintf("%d at once: all answer a LAN host", o.burst), limit: all, atLeast: true, unit: number,
			value: worst(lowest, func(r round) float64 { return float64(r.Answering) }),
		},
		target{
			name: "no lease left on the server", unit: number,
			value: worst(highest, func(r round) float64 { return float64(r.Left) }),
		},
		target{
			name: "podland: at most 30 MB resident", limit: 30, unit: megabytes,
			value: worst(highest, func(r round) float64 { return r.Held.RSS }),
		},
		target{
			name: "podland: at most 20 threads", limit: 20, unit: number,
			value: worst(highest, func(r round) float64 { return float64(r.Held.Threads) }),
		},
		target{
			name: "podland: at most 20 descriptors above idle", limit: 20, unit: number,
			value: worst(highest, func(r round) float64 { return float64(r.Held.Descriptors - r.Idle.Descriptors) }),
		},
	)
}

func (o options) timeTargets() []target {
	return []target{
		{name: "slowest ADD within 5 medians", limit: 5, unit: times, timed: true, value: worst(median, slowestInMedians)},
		{
			name: "median ADD at most the reference's", limit: 1, unit: times, timed: true,
			value: ratioOf(timeRow("", func(r round) float64 { return percentile(r.Add.sorted(), 50) })),
		},
		{
			name: fmt.Sprintf("%d at once within a quarter of the reference's time", o.burst), limit: 0.25,
			unit: times, timed: true, value: ratioOf(timeRow("", burstWall)),
		},
	}
}

// slowestInMedians is a round's slowest ADD, in medians of the same round.
func slowestInMedians(r round) float64 {
	s := r.Add.sorted()
	return percentile(s, 100) / percentile(s, 50)
}

// worst folds a number of our own rounds.
func worst(fold func([]float64) float64, of func(round) float64) func([]round) float64 {
	return func(rounds []round) float64 { return metric{of: of, fold: fold}.over(rounds, podlan) }
}

// ratioOf divides ours by the reference's.
func ratioOf(m metric) func([]round) float64 {
	return func(rounds []round) float64 { return m.over(rounds, podlan) / m.over(rounds, reference) }
}
