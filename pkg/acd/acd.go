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

// Verdict is what an event leads to.
type Verdict int

// The verdicts.
const (
	// Nothing: go on.
	Nothing Verdict = iota
	// Free: probing has ended, nobody has the address.
	Free
	// Conflict: somebody else, Output.By, has the address: it must not be used.
	// It is the detector's last word.
	Conflict
)

// Output is what an event leads to. Deadline may have changed with it.
type Output struct {
	Send    []Packet
	Verdict Verdict
	By      MAC
}

// phase is where a detector stands.
type phase int

const (
	probing phase = iota
	holding
	lost
)

// Detector watches over one address. It is not safe for concurrent use.
type Detector struct {
	addr   netip.Addr
	mac    MAC
	timing Timing
	rng    *rand.Rand

	phase    phase
	deadline time.Duration
	// probes and announcements are how many are still to be sent.
	probes, announcements int
	// announced is when the last announcement was sent, conflicted when the last
	// conflicting packet came, while holding; never before.
	announced, conflicted time.Duration
}

// never lies before all times, and not so far that a distance to it overflows.
const never = time.Duration(math.MinInt64 / 2)

// Probe returns a detector that begins to probe now: Tick sends.
func Probe(addr netip.Addr, mac MAC, t Timing, rng *rand.Rand, now time.Duration) *Detector {
	d := Hold(addr, mac, rng)
	d.phase, d.timing, d.probes = probing, t, t.Probes
	d.deadline = now + d.between(0, t.Delay)
	return d
}

// Hold returns a detector for an address that is in use already, found free
// before: it defends, and neither probes nor announces.
func Hold(addr netip.Addr, mac MAC, rng *rand.Rand) *Detector {
	return &Detector{
		addr: addr.Unmap(), mac: mac, rng: rng,
		phase: holding, deadline: Never, announced: never, conflicted: never,
	}
}

// Announce has the address announced twice (RFC 5227 §2.3), from now on or as
// soon as probing has ended. Called again, it begins anew; there are never less
// than 2 s between two announcements.
func (d *Detector) Announce(now time.Duration) {
	if d.phase == lost {
		return
	}
	d.announcements = announceNum
	if d.phase == holding {
		d.deadline = max(now, d.announced+announceInterval)
	}
}

// Tick does what is due at or before now. Before the deadline it does nothing.
// A tick that comes late delays what follows: packets keep their distance.
func (d *Detector) Tick(now time.Duration) Output {
	switch {
	case now < d.deadline || d.deadline == Never:
		return Output{}
	case d.phase == holding:
		return Output{Send: d.announce(now)}
	case d.probes > 0:
		return Output{Send: d.probe(now)}
	default:
		d.phase, d.deadline = holding, Never
		return Output{Verdict: Free, Send: d.announce(now)}
	}
}

// probe follows RFC 5227 §2.1.1.
func (d *Detector) probe(now time.Duration) []Packet {
	d.probes--
	d.deadline = now + d.timing.Wait
	if d.probes > 0 {
		d.deadline = now + d.between(d.timing.Min, d.timing.Max)
	}
	return []Packet{{SenderMAC: d.mac, SenderIP: netip.IPv4Unspecified(), TargetIP: d.addr}}
}

// announce sends the next announcement if there is one to send.
func (d *Detector) announce(now time.Duration) []Packet {
	if d.announcements == 0 {
		return nil
	}
	d.announcements--
	d.announced, d.deadline = now, Never
	if d.announcements > 0 {
		d.deadline = now + announceInterval
	}
	return []Packet{d.announcement()}
}

// announcement follows RFC 5227 §2.3; the packet in defence is the same (§2.4).
func (d *Detector) announcement() Packet {
	return Packet{SenderMAC: d.mac, SenderIP: d.addr, TargetIP: d.addr}
}

// Handle takes an ARP packet from the segment. Those of others about other
// addresses change nothing, nor do any from the client's own MAC.
func (d *Detector) Handle(now time.Duration, p Packet) Output {
	switch {
	case p.SenderMAC == d.mac:
		return Output{}
	case d.phase == probing && (d.claimed(p) || d.probed(p)):
		return d.lose(p.SenderMAC)
	case d.phase == holding && d.claimed(p):
		return d.defend(now, p.SenderMAC)
	}
	return Output{}
}

// claimed tells whether the packet's sender says that it has the address.
func (d *Detector) claimed(p Packet) bool { return p.SenderIP == d.addr }

// probed tells whether the packet's sender is about to take the address. Who has
// it answers, so while holding there is nothing to do but by the Pod's kernel.
func (d *Detector) probed(p Packet) bool {
	return !p.Reply && p.SenderIP == netip.IPv4Unspecified() && p.TargetIP == d.addr
}

// defend follows RFC 5227 §2.4(b): once, and not again within DEFEND_INTERVAL.
func (d *Detector) defend(now time.Duration, by MAC) Output {
	recent := now-d.conflicted < defendInterval
	d.conflicted = now
	if recent {
		return d.lose(by)
	}
	return Output{Send: []Packet{d.announcement()}}
}

func (d *Detector) lose(by MAC) Output {
	d.phase, d.deadline = lost, Never
	return Output{Verdict: Conflict, By: by}
}

// Deadline returns when Tick has to be called next; Never if it has not.
func (d *Detector) Deadline() time.Duration { return d.deadline }

// Address returns the address that is watched over.
func (d *Detector) Address() netip.Addr { return d.addr }

// between returns a time between the two, both included, at random.
func (d *Detector) between(least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return least + time.Duration(d.rng.Int64N(int64(most-least)+1))
}
