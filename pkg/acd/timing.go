package acd

import "time"

// The constants of RFC 5227 §1.1 that no Timing changes.
const (
	announceNum      = 2
	announceInterval = 2 * time.Second
	defendInterval   = 10 * time.Second
)

// Timing says how long probing takes.
type Timing struct {
	// Delay is the most that the first probe waits, at random.
	Delay time.Duration
	// Probes is how many there are, Min to Max apart, and Wait what follows the
	// last before the address counts as free.
	Probes   int
	Min, Max time.Duration
	Wait     time.Duration
}

// RFC is the timing of RFC 5227 §1.1: 4 to 7 s.
func RFC() Timing {
	return Timing{
		Delay:  time.Second,     // PROBE_WAIT
		Probes: 3,               // PROBE_NUM
		Min:    time.Second,     // PROBE_MIN
		Max:    2 * time.Second, // PROBE_MAX
		Wait:   2 * time.Second, // ANNOUNCE_WAIT
	}
}

// Fast is three probes within 200 ms, and free after 300.
func Fast() Timing {
	const step = 100 * time.Millisecond
	return Timing{Probes: 3, Min: step, Max: step, Wait: step}
}
