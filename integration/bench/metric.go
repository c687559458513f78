package main

import "fmt"

// metric is a row of a table: a number of each round, and what stands for a
// side's rounds. Times are medians over the rounds; counts are the worst of
// them, since one bad round is one too many.
type metric struct {
	name string
	of   func(round) float64
	fold func([]float64) float64
	unit unit
	// ratio: ours divided by the reference's means something.
	ratio bool
}

// over folds the rounds of one side.
func (m metric) over(rounds []round, side string) float64 {
	var values []float64
	for _, r := range rounds {
		if r.Side == side {
			values = append(values, m.of(r))
		}
	}
	return m.fold(values)
}

func (o options) metrics() []metric {
	rows := []metric{countRow("ADDs one after another", lowest, func(r round) float64 { return float64(len(r.Add.Millis)) })}
	rows = append(rows, callRows("ADD", func(r round) series { return r.Add })...)
	rows = append(rows, callRows("DEL", func(r round) series { return r.Del })...)
	rows = append(rows,
		timeRow(fmt.Sprintf("%d ADDs at once, until the last", o.burst), burstWall),
		timeRow(fmt.Sprintf("%d DELs at once, until the last", o.burst), func(r round) float64 { return 1000 * r.BurstDel.Wall }),
		countRow("ADDs and DELs that failed", highest, failures),
		countRow("distinct addresses at once", lowest, func(r round) float64 { return float64(r.Distinct) }),
		countRow("of them answer a LAN host", lowest, func(r round) float64 { return float64(r.Answering) }),
		countRow("leases left on the server", highest, func(r round) float64 { return float64(r.Left) }),
	)
	return append(rows, o.usageRows()...)
}

// callRows are the rows about calls one after another.
func callRows(verb string, of func(round) series) []metric {
	at := func(p float64) func(round) float64 {
		return func(r round) float64 { return percentile(of(r).sorted(), p) }
	}
	return []metric{timeRow(verb+" p50", at(50)), timeRow(verb+" p99", at(99)), timeRow(verb+" max", at(100))}
}

// usageRows are the rows about the daemon.
func (o options) usageRows() []metric {
	row := func(name, when string, of func(round) float64, u unit) metric {
		return metric{name: "daemon: " + name + when, of: of, fold: highest, unit: u, ratio: true}
	}
	held := fmt.Sprintf(", %d leases", o.burst)
	return []metric{
		row("resident memory", ", idle", func(r round) float64 { return r.Idle.RSS }, megabytes),
		row("resident memory", held, func(r round) float64 { return r.Held.RSS }, megabytes),
		row("threads", ", idle", func(r round) float64 { return float64(r.Idle.Threads) }, number),
		row("threads", held, func(r round) float64 { return float64(r.Held.Threads) }, number),
		row("descriptors", ", idle", func(r round) float64 { return float64(r.Idle.Descriptors) }, number),
		row("descriptors", held, func(r round) float64 { return float64(r.Held.Descriptors) }, number),
	}
}

func timeRow(name string, of func(round) float64) metric {
	return metric{name: name, of: of, fold: median, unit: milliseconds, ratio: true}
}

func countRow(name string, fold func([]float64) float64, of func(round) float64) metric {
	return metric{name: name, of: of, fold: fold, unit: number}
}

// burstWall is in milliseconds.
func burstWall(r round) float64 { return 1000 * r.BurstAdd.Wall }

func failures(r round) float64 {
	return float64(r.Add.Failed + r.Del.Failed + r.BurstAdd.Failed + r.BurstDel.Failed)
}
