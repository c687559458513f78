package main

import (
	"fmt"
	"io"
	"math"
)

// table is what came of a scenario.
type table struct {
	Title string `json:"title"`
	// Against is the other side.
	Against  string    `json:"against"`
	Rows     []row     `json:"rows"`
	Verdicts []verdict `json:"verdicts,omitempty"`
	// Rounds are what was measured, as the table's kind has them.
	Rounds any `json:"rounds"`
}

// row is a metric of both sides. Reference is the other side, whoever that is.
type row struct {
	Metric string `json:"metric"`
	Unit   unit   `json:"unit,omitempty"`
	// Nil for a side that did not run.
	Podlan    *float64 `json:"podlan"`
	Reference *float64 `json:"reference"`
	ratio     bool
}

// newTable judges the targets, if both sides ran.
func newTable(s scenario, opts options, rounds []round) table {
	t := table{Title: s.title, Against: reference, Rounds: rounds}
	for _, m := range opts.metrics() {
		t.Rows = append(t.Rows, row{
			Metric: m.name, Unit: m.unit, ratio: m.ratio,
			Podlan: measured(m.over(rounds, podlan)), Reference: measured(m.over(rounds, reference)),
		})
	}
	if opts.only != "" {
		return t
	}
	for _, target := range opts.targets() {
		if !target.timed || !s.ping {
			t.Verdicts = append(t.Verdicts, target.judge(rounds))
		}
	}
	return t
}

// measured is nil for what was not: JSON has no NaN.
func measured(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}

func value(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}

// cells are the row as it is printed.
func (r row) cells() []string {
	us, them := value(r.Podlan), value(r.Reference)
	ratio := ""
	if r.ratio {
		ratio = times.text(us / them)
	}
	return []string{r.Metric, r.Unit.text(us), r.Unit.text(them), ratio}
}

func (v verdict) cells() []string {
	if v.Pass {
		return []string{v.Target, v.Unit.text(v.Value), "PASS"}
	}
	return []string{v.Target, v.Unit.text(v.Value), "MISS"}
}

func (t table) write(w io.Writer) error {
	rows := [][]string{{"", podlan, t.Against, podlan + " / " + t.Against}}
	for _, r := range t.Rows {
		rows = append(rows, r.cells())
	}
	if _, err := fmt.Fprintf(w, "\n### %s\n\n%s", t.Title, markdown(rows)); err != nil {
		return err
	}
	if len(t.Verdicts) == 0 {
		return nil
	}
	rows = [][]string{{"Target", "measured", "verdict"}}
	for _, v := range t.Verdicts {
		rows = append(rows, v.cells())
	}
	_, err := fmt.Fprintf(w, "\n%s", markdown(rows))
	return err
}
