package main

import (
	"fmt"
	"math"
)

// unit is what a number is of.
type unit string

// The units.
const (
	milliseconds unit = "ms"
	nanoseconds  unit = "ns"
	megabytes    unit = "MB" // of 10^6 bytes
	gigabits     unit = "Gbit/s"
	// thousandFrames are sent in a second.
	thousandFrames unit = "k/s"
	number         unit = ""
	times          unit = "x"
)

// text writes a value for people, a dash for one that was not measured.
func (u unit) text(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case u == milliseconds:
		return duration(v)
	case u == nanoseconds:
		return fmt.Sprintf("%.0f ns", v)
	case u == megabytes || u == gigabits:
		return fmt.Sprintf("%.1f %s", v, u)
	case u == thousandFrames:
		return fmt.Sprintf("%.0f k/s", v)
	case u == times && v > 0 && v < 0.1:
		return fmt.Sprintf("%.2g", v)
	case u == times:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// duration writes milliseconds with three digits, as seconds from one on.
func duration(ms float64) string {
	switch {
	case ms >= 1000:
		return fmt.Sprintf("%.2f s", ms/1000)
	case ms >= 100:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f ms", ms)
}
