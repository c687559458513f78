package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

// table is what came of a scenario.
type table struct {
	Title    string    `json:"title"`
	Rounds   []round   `json:"rounds"`
	Verdicts []verdict `json:"verdicts,omitempty"`
	metrics  []metric
}

// newTable judges the targets, if both sides ran.
func newTable(s scenario, opts options, rounds []round) table {
	t := table{Title: s.title, Rounds: rounds, metrics: opts.metrics()}
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

func (t table) write(w io.Writer) error {
	rows := [][]string{{"", podlan, reference, "podlan / reference"}}
	for _, m := range t.metrics {
		us, them := m.over(t.Rounds, podlan), m.over(t.Rounds, reference)
		ratio := ""
		if m.ratio && them > 0 {
			ratio = orDash(us/them, asTimes)
		}
		rows = append(rows, []string{m.name, orDash(us, m.format), orDash(them, m.format), ratio})
	}
	if _, err := fmt.Fprintf(w, "\n## %s\n\n%s", t.Title, markdown(rows)); err != nil {
		return err
	}
	if len(t.Verdicts) == 0 {
		return nil
	}
	rows = [][]string{{"Target", "measured", "verdict"}}
	for _, v := range t.Verdicts {
		verdict := "MISS"
		if v.Pass {
			verdict = "PASS"
		}
		rows = append(rows, []string{v.Target, v.text, verdict})
	}
	_, err := fmt.Fprintf(w, "\n%s", markdown(rows))
	return err
}

func orDash(v float64, format func(float64) string) string {
	if math.IsNaN(v) {
		return "–"
	}
	return format(v)
}

// markdown writes rows, the first one the heading, as a table that is aligned
// in a terminal too. All columns but the first are aligned to the right.
func markdown(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for n, row := range rows {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				fmt.Fprintf(&b, "| %s%s ", cell, pad)
			} else {
				fmt.Fprintf(&b, "| %s%s ", pad, cell)
			}
		}
		b.WriteString("|\n")
		if n == 0 {
			b.WriteString(rule(widths))
		}
	}
	return b.String()
}

// rule is the line below the heading.
func rule(widths []int) string {
	var b strings.Builder
	for i, w := range widths {
		if i == 0 {
			fmt.Fprintf(&b, "|:%s", strings.Repeat("-", w+1))
		} else {
			fmt.Fprintf(&b, "|%s:", strings.Repeat("-", w+1))
		}
	}
	return b.String() + "|\n"
}
