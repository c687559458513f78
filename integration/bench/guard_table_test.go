package main

import "testing"

func TestTheGuardsTargets(t *testing.T) {
	// Nanoseconds of a frame: without a guard, and with 1, 250 and 1000 ports.
	cases := map[string]struct {
		none           float64
		guarded        [3]float64
		flat, overhead bool
	}{
		"flat and cheap":             {1000, [3]float64{1300, 1310, 1390}, true, true},
		"a quarter of much":          {4000, [3]float64{4900, 4950, 5000}, true, true},
		"more than a quarter":        {4000, [3]float64{5001, 5001, 5001}, true, false},
		"too dear with 1000 alone":   {1000, [3]float64{1300, 1300, 1401}, true, false},
		"dearer with each, but less": {4000, [3]float64{4100, 4511, 4900}, false, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var rounds guardRounds
			for i, n := range guardSizes() {
				for range 3 {
					rounds.Frames = append(rounds.Frames, guardRound{unguarded, n, c.none}, guardRound{podlan, n, c.guarded[i]}, guardRound{spoofchk, n, 1})
				}
			}
			got := newGuardTable(options{}, rounds).Verdicts
			if got[0].Pass != c.flat || got[1].Pass != c.overhead {
				t.Errorf("got %+v", got)
			}
		})
	}
}
