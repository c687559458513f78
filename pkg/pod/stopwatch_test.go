package pod_test

import (
	"testing"
	"time"
)

// stopwatch sums up the time of steps by name.
type stopwatch map[string]time.Duration

func (s stopwatch) step(b *testing.B) func(string, func() error) {
	b.Helper()
	return func(name string, fn func() error) {
		begin := time.Now()
		if err := fn(); err != nil {
			b.Fatal(name, err)
		}
		s[name] += time.Since(begin)
	}
}

func (s stopwatch) report(b *testing.B) {
	b.Helper()
	for name, sum := range s {
		b.ReportMetric(float64(sum.Microseconds())/float64(b.N), name+"-µs")
	}
}
