package main

import (
	"math"
	"slices"
)

// percentile returns the smallest sample that p percent of the sorted samples
// do not exceed (nearest rank), NaN without samples.
func percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[max(1, rank)-1]
}

// median returns the middle value, the mean of the two middle ones of an even
// number, NaN without values.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(values))
	return (s[(n-1)/2] + s[n/2]) / 2
}

// highest and lowest return the extreme value, NaN without values.
func highest(values []float64) float64 { return extreme(values, slices.Max[[]float64]) }

func lowest(values []float64) float64 { return extreme(values, slices.Min[[]float64]) }

func extreme(values []float64, of func([]float64) float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	return of(values)
}
