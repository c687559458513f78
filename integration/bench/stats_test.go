package main

import (
	"math"
	"testing"
)

func TestPercentile(t *testing.T) {
	sorted := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for _, c := range []struct{ p, want float64 }{{0, 1}, {50, 5}, {51, 6}, {99, 10}, {100, 10}} {
		if got := percentile(sorted, c.p); got != c.want {
			t.Errorf("p%g of 1 to 10 is %g, want %g", c.p, got, c.want)
		}
	}
	if got := percentile(nil, 50); !math.IsNaN(got) {
		t.Errorf("p50 of nothing is %g", got)
	}
}

func TestFolds(t *testing.T) {
	values := []float64{9, 1, 4, 2}
	for name, c := range map[string]struct {
		fold func([]float64) float64
		want float64
	}{"median": {median, 3}, "highest": {highest, 9}, "lowest": {lowest, 1}} {
		if got := c.fold(values); got != c.want {
			t.Errorf("%s of %v is %g, want %g", name, values, got, c.want)
		}
		if got := c.fold(nil); !math.IsNaN(got) {
			t.Errorf("%s of nothing is %g", name, got)
		}
	}
}
