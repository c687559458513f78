package main

import (
	"strings"
	"testing"

	"github.com/podlan/podlan/integration/bench/machine"
)

// fine is a round in which everything went as promised.
func fine(side string, millis float64) round {
	return round{
		Side: side, Add: series{Millis: []float64{millis, millis, 2 * millis}}, Del: series{Millis: []float64{millis}},
		BurstAdd: burst{Wall: millis / 10}, Distinct: 2, Answering: 2,
		Idle: machine.Usage{RSS: 10, Threads: 8, Descriptors: 10}, Held: machine.Usage{RSS: 20, Threads: 9, Descriptors: 12},
	}
}

func missed(rounds ...round) []string {
	s := scenario{title: "test"}
	var names []string
	for _, v := range newTable(s, options{burst: 2}, rounds).Verdicts {
		if !v.Pass {
			names = append(names, v.Target)
		}
	}
	return names
}

func TestAllTargetsMet(t *testing.T) {
	if names := missed(fine(podlan, 10), fine(reference, 50)); names != nil {
		t.Errorf("missed: %q", names)
	}
}

// Each target is missed by what it is about, and by nothing else.
func TestEachTargetMissed(t *testing.T) {
	for want, spoil := range map[string]func(*round){
		"slowest":     func(r *round) { r.Add.Millis[2] = 51 },
		"fails":       func(r *round) { r.BurstDel.Failed = 1 },
		"quarter":     func(r *round) { r.BurstAdd.Wall = 2 },
		"distinct":    func(r *round) { r.Distinct = 1 },
		"answer":      func(r *round) { r.Answering = 0 },
		"lease left":  func(r *round) { r.Left = 1 },
		"MB":          func(r *round) { r.Held.RSS = 30.1 },
		"threads":     func(r *round) { r.Held.Threads = 21 },
		"descriptors": func(r *round) { r.Held.Descriptors = 31 },
		"median ADD":  func(r *round) { r.Add.Millis = []float64{51} },
	} {
		us := fine(podlan, 10)
		spoil(&us)
		if names := missed(us, fine(reference, 50)); len(names) != 1 || !strings.Contains(names[0], want) {
			t.Errorf("missed: %q, want the one about %q", names, want)
		}
	}
}

// One bad round is enough for what must always hold.
func TestWorstRoundCounts(t *testing.T) {
	leaked := fine(podlan, 10)
	leaked.Left = 1
	if names := missed(fine(podlan, 10), fine(reference, 50), leaked, fine(reference, 50), fine(podlan, 10)); len(names) != 1 {
		t.Errorf("missed: %q, want the one about leases", names)
	}
}

// One side alone is shown, and not compared.
func TestOneSide(t *testing.T) {
	var b strings.Builder
	table := newTable(scenario{title: "test"}, options{burst: 2, only: podlan}, []round{fine(podlan, 10)})
	if err := table.write(&b); err != nil {
		t.Fatal(err)
	}
	if out := b.String(); strings.Contains(out, "NaN") || strings.Contains(out, "PASS") || !strings.Contains(out, "20.0 MB") {
		t.Errorf("printed:\n%s", out)
	}
}
