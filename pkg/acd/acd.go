// Package acd is IPv4 address conflict detection after RFC 5227: probing,
// announcing and defending one address of one client. It does no I/O, reads no
// clock and draws on no randomness but what it is given: (time, ARP packet) go
// in; packets to send, the next deadline and a verdict come out. Times are
// durations since boot.
package acd

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"time"
)

// Never is the deadline where there is none.
const Never = time.Duration(math.MaxInt64)

// MAC is an Ethernet address, in the order in which it is sent.
type MAC [6]byte

// Packet is an ARP packet for IPv4 over Ethernet (RFC 826), a request unless
// Reply is set.
type Packet struct {
	Reply                bool
	SenderMAC, TargetMAC MAC
	SenderIP, TargetIP   netip.Addr
}

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

// Verdict is what an event leads to.
type Verdict int

// The verdicts.
const (
	// Nothing: go on.
	Nothing Verdict = iota
	// Free: probing has ended, nobody has the address.
	Free
	// Conflict: somebody else, Output.By, has the address: it must not be used.
	Conflict
)

// Output is what an event leads to. Deadline may have changed with it.
type Output struct {
	Send    []Packet
	Verdict Verdict
	By      MAC
}

// Detector watches over one address. It is not safe for concurrent use.
type Detector struct {
	deadline time.Duration
}

// RFC is the timing of RFC 5227 §1.1: 4 to 7 s.
func RFC() Timing { return Timing{} }

// Fast is three probes within 200 ms, and free after 300.
func Fast() Timing { return Timing{} }

// Probe returns a detector that begins to probe now: Tick sends.
func Probe(addr netip.Addr, mac MAC, t Timing, rng *rand.Rand, now time.Duration) *Detector {
	return &Detector{deadline: now}
}

// Hold returns a detector for an address that is in use already, found free
// before: it defends, and neither probes nor announces.
func Hold(addr netip.Addr, mac MAC, rng *rand.Rand) *Detector {
	return &Detector{deadline: Never}
}

// Announce has the address announced twice (RFC 5227 §2.3), from now on or as
// soon as probing has ended.
func (d *Detector) Announce(now time.Duration) {}

// Tick does what is due at or before now. Before the deadline it does nothing.
func (d *Detector) Tick(now time.Duration) Output { return Output{} }

// Handle takes an ARP packet from the segment. Those of others about other
// addresses change nothing.
func (d *Detector) Handle(now time.Duration, p Packet) Output { return Output{} }

// Deadline returns when Tick has to be called next; Never if it has not.
func (d *Detector) Deadline() time.Duration { return d.deadline }

// Address returns the address that is watched over.
func (d *Detector) Address() netip.Addr { return netip.Addr{} }
