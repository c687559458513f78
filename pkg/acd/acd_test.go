package acd_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/acd"
)

const start = 1000 * time.Hour

func addr() netip.Addr   { return netip.MustParseAddr("192.0.2.77") }
func own() acd.MAC       { return acd.MAC{2, 0xaa, 0, 0, 0, 1} }
func other() acd.MAC     { return acd.MAC{2, 0xbb, 0, 0, 0, 9} }
func seeded() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func probe() acd.Packet {
	return acd.Packet{SenderMAC: own(), SenderIP: netip.IPv4Unspecified(), TargetIP: addr()}
}

func announcement() acd.Packet {
	return acd.Packet{SenderMAC: own(), SenderIP: addr(), TargetIP: addr()}
}

// theirs is the packet with the other's MAC.
func theirs(p acd.Packet) acd.Packet {
	p.SenderMAC = other()
	return p
}

// event is a tick, or a packet where there is one, so long after the start, and
// what follows from it.
type event struct {
	at      time.Duration
	packet  *acd.Packet
	send    []acd.Packet
	verdict acd.Verdict
	next    time.Duration // the deadline, after the start; acd.Never
}

func play(t *testing.T, d *acd.Detector, events []event) {
	t.Helper()
	for i, e := range events {
		now := start + e.at
		var got acd.Output
		if e.packet != nil {
			got = d.Handle(now, *e.packet)
		} else {
			got = d.Tick(now)
		}
		want := acd.Output{Send: e.send, Verdict: e.verdict}
		if e.verdict == acd.Conflict {
			want.By = other()
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("event %d, after %s:\n%s", i, e.at, diff)
		}
		next := e.next
		if next != acd.Never {
			next += start
		}
		if d.Deadline() != next {
			t.Errorf("event %d, after %s: deadline after %s, wanted %s", i, e.at, d.Deadline()-start, e.next)
		}
	}
}

func probing() *acd.Detector { return acd.Probe(addr(), own(), acd.Fast(), seeded(), start) }
func holding() *acd.Detector { return acd.Hold(addr(), own(), seeded()) }

func one(p acd.Packet) []acd.Packet { return []acd.Packet{p} }

const ms = time.Millisecond

func TestAnAddressForWhichNobodyAnswersIsFreeAfterThreeProbes(t *testing.T) {
	play(t, probing(), []event{
		{at: 0, send: one(probe()), next: 100 * ms},
		{at: 99 * ms, next: 100 * ms},
		{at: 100 * ms, send: one(probe()), next: 200 * ms},
		{at: 200 * ms, send: one(probe()), next: 300 * ms},
		{at: 300 * ms, verdict: acd.Free, next: acd.Never},
		{at: 400 * ms, next: acd.Never},
	})
}

func TestAProbeSentLateDelaysTheNext(t *testing.T) {
	play(t, probing(), []event{
		{at: 1000 * ms, send: one(probe()), next: 1100 * ms},
		{at: 1000 * ms, next: 1100 * ms},
		{at: 9000 * ms, send: one(probe()), next: 9100 * ms},
		{at: 9200 * ms, send: one(probe()), next: 9300 * ms},
		{at: 9300 * ms, verdict: acd.Free, next: acd.Never},
	})
}

func TestProbesKeepTheRFCsTimes(t *testing.T) {
	rng := seeded()
	for range 1000 {
		d := acd.Probe(addr(), own(), acd.RFC(), rng, start)
		last := start
		for i, limit := range []struct{ least, most time.Duration }{
			{0, time.Second}, {time.Second, 2 * time.Second}, {time.Second, 2 * time.Second}, {2 * time.Second, 2 * time.Second},
		} {
			now := d.Deadline()
			if wait := now - last; wait < limit.least || wait > limit.most {
				t.Fatalf("step %d comes after %s", i, wait)
			}
			out := d.Tick(now)
			if free := out.Verdict == acd.Free; free != (i == 3) || free == (len(out.Send) == 1) {
				t.Fatalf("step %d: %+v", i, out)
			}
			last = now
		}
	}
}

func TestWhatIsAConflictWhileProbing(t *testing.T) {
	reply := theirs(announcement())
	reply.Reply = true
	elsewhere := theirs(announcement())
	elsewhere.TargetIP = netip.MustParseAddr("192.0.2.1")
	foreign := theirs(announcement())
	foreign.SenderIP = netip.MustParseAddr("192.0.2.78")
	otherProbe := theirs(probe())
	otherProbe.TargetIP = netip.MustParseAddr("192.0.2.78")
	odd := theirs(probe())
	odd.Reply = true
	for name, c := range map[string]struct {
		packet acd.Packet
		want   acd.Verdict
	}{
		"a reply from who has it":             {reply, acd.Conflict},
		"an announcement":                     {theirs(announcement()), acd.Conflict},
		"a request for another from it":       {elsewhere, acd.Conflict},
		"somebody else's probe":               {theirs(probe()), acd.Conflict},
		"our own probe, sent back":            {probe(), acd.Nothing},
		"our own announcement, sent back":     {announcement(), acd.Nothing},
		"a request for it":                    {foreign, acd.Nothing},
		"a probe for another":                 {otherProbe, acd.Nothing},
		"a reply from nobody, which is about": {odd, acd.Nothing},
	} {
		t.Run(name, func(t *testing.T) {
			next := 100 * ms
			if c.want == acd.Conflict {
				next = acd.Never
			}
			play(t, probing(), []event{
				{at: 0, send: one(probe()), next: 100 * ms},
				{at: 50 * ms, packet: &c.packet, verdict: c.want, next: next},
			})
		})
	}
}

func TestAConflictCountsBeforeTheFirstProbe(t *testing.T) {
	play(t, probing(), []event{{packet: new(theirs(announcement())), verdict: acd.Conflict, next: acd.Never}})
}

func TestAConflictIsTheLastWord(t *testing.T) {
	d := probing()
	play(t, d, []event{{packet: new(theirs(announcement())), verdict: acd.Conflict, next: acd.Never}})
	d.Announce(start)
	play(t, d, []event{
		{at: time.Second, next: acd.Never},
		{at: time.Second, packet: new(theirs(announcement())), next: acd.Never},
		{at: time.Minute, next: acd.Never},
	})
}

func TestAnAddressIsAnnouncedTwice(t *testing.T) {
	d := holding()
	play(t, d, []event{{next: acd.Never}})
	d.Announce(start + 5*time.Second)
	play(t, d, []event{
		{at: 5 * time.Second, send: one(announcement()), next: 7 * time.Second},
		{at: 7 * time.Second, send: one(announcement()), next: acd.Never},
		{at: 9 * time.Second, next: acd.Never},
	})
}

func TestWhatIsAnnouncedWhileProbingIsSentOnceItIsFree(t *testing.T) {
	d := probing()
	d.Announce(start)
	play(t, d, []event{
		{at: 0, send: one(probe()), next: 100 * ms},
		{at: 100 * ms, send: one(probe()), next: 200 * ms},
		{at: 200 * ms, send: one(probe()), next: 300 * ms},
		{at: 300 * ms, verdict: acd.Free, send: one(announcement()), next: 2300 * ms},
		{at: 2300 * ms, send: one(announcement()), next: acd.Never},
	})
}

func TestAnnouncementsKeepTheirDistanceWhenTheyBeginAnew(t *testing.T) {
	d := holding()
	d.Announce(start)
	play(t, d, []event{{send: one(announcement()), next: 2 * time.Second}})
	d.Announce(start + time.Second)
	play(t, d, []event{
		{at: time.Second, next: 2 * time.Second},
		{at: 2 * time.Second, send: one(announcement()), next: 4 * time.Second},
		{at: 4 * time.Second, send: one(announcement()), next: acd.Never},
	})
}

// RFC 5227 §2.4(b).
func TestAnAddressIsDefendedOnceInTenSeconds(t *testing.T) {
	claim := new(theirs(announcement()))
	for name, events := range map[string][]event{
		"and lost to who goes on": {
			{at: 0, packet: claim, send: one(announcement()), next: acd.Never},
			{at: 10*time.Second - 1, packet: claim, verdict: acd.Conflict, next: acd.Never},
		},
		"and again after that": {
			{at: 0, packet: claim, send: one(announcement()), next: acd.Never},
			{at: 10 * time.Second, packet: claim, send: one(announcement()), next: acd.Never},
			{at: 20 * time.Second, packet: claim, send: one(announcement()), next: acd.Never},
			{at: 29 * time.Second, packet: claim, verdict: acd.Conflict, next: acd.Never},
		},
		"whatever our own packets and others' probes say": {
			{at: 0, packet: claim, send: one(announcement()), next: acd.Never},
			{at: time.Second, packet: new(announcement()), next: acd.Never},
			{at: time.Second, packet: new(theirs(probe())), next: acd.Never},
			{at: 2 * time.Second, packet: claim, verdict: acd.Conflict, next: acd.Never},
		},
	} {
		t.Run(name, func(t *testing.T) { play(t, holding(), events) })
	}
}

// RFC 5227 §2.1.1: who has the address answers a probe, which is the Pod.
func TestAProbeForAHeldAddressIsNoConflict(t *testing.T) {
	play(t, holding(), []event{
		{packet: new(theirs(probe())), next: acd.Never},
		{packet: new(theirs(probe())), next: acd.Never},
	})
}

func TestADefenceLeavesTheAnnouncementsInPlace(t *testing.T) {
	d := holding()
	d.Announce(start)
	play(t, d, []event{
		{send: one(announcement()), next: 2 * time.Second},
		{at: time.Second, packet: new(theirs(announcement())), send: one(announcement()), next: 2 * time.Second},
		{at: 2 * time.Second, send: one(announcement()), next: acd.Never},
	})
}

func TestAnAddressInSixteenBytesIsTheSame(t *testing.T) {
	d := acd.Probe(netip.AddrFrom16(addr().As16()), own(), acd.Fast(), seeded(), start)
	if d.Address() != addr() {
		t.Errorf("watches over %s", d.Address())
	}
	play(t, d, []event{{send: one(probe()), next: 100 * ms}})
}
