package acd_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/podlan/podlan/pkg/acd"
)

// FuzzDetector: whatever comes, and however late, there are at most one probe a
// PROBE_MIN, one announcement every two seconds and one defence every ten; an
// address is free after all probes and no sooner; after a conflict there is
// silence.
func FuzzDetector(f *testing.F) {
	f.Add(uint64(1), true, []byte{0, 0, 0, 3, 0, 0, 0, 0})
	f.Add(uint64(2), false, []byte{5, 1, 0, 2, 0, 200, 1, 0, 4})
	f.Add(uint64(3), true, []byte{5, 0, 250, 250, 250, 250, 1, 250, 1})
	f.Fuzz(func(t *testing.T, seed uint64, fast bool, script []byte) {
		w := newWatcher(t, seed, fast)
		for _, b := range script {
			w.step(b)
		}
	})
}

// watcher checks what a detector does.
type watcher struct {
	t        *testing.T
	timing   acd.Timing
	detector *acd.Detector
	now      time.Duration

	probes                      int
	probed, announced, defended time.Duration
	free, lost                  bool
	toAnnounce                  int
}

func newWatcher(t *testing.T, seed uint64, fast bool) *watcher {
	t.Helper()
	timing := acd.RFC()
	if fast {
		timing = acd.Fast()
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	const longAgo = start - time.Hour
	return &watcher{
		t: t, timing: timing, now: start, detector: acd.Probe(addr(), own(), timing, rng, start),
		probed: longAgo, announced: longAgo, defended: longAgo,
	}
}

// step is one event: a packet, an announcement, or so many 40 ms.
func (w *watcher) step(b byte) {
	switch b {
	case 0:
		if next := w.detector.Deadline(); next != acd.Never {
			w.now = max(w.now, next)
		}
	case 1, 2, 3, 4:
		w.handle(b)
		return
	case 5:
		w.detector.Announce(w.now)
		w.toAnnounce = 2
		return
	default:
		w.now += time.Duration(b) * 40 * time.Millisecond
	}
	w.tick()
}

func (w *watcher) tick() {
	due := w.detector.Deadline() <= w.now
	out := w.detector.Tick(w.now)
	w.silentAfterConflict(out)
	if !due && (len(out.Send) != 0 || out.Verdict != acd.Nothing) {
		w.t.Fatalf("%+v before its time", out)
	}
	if out.Verdict == acd.Conflict || out.Verdict == acd.Free && (w.free || w.probes != w.timing.Probes) {
		w.t.Fatalf("verdict %d of a tick, after %d probes", out.Verdict, w.probes)
	}
	if out.Verdict == acd.Free {
		w.distance("free", w.probed, w.timing.Wait)
		w.free = true
	}
	for _, p := range w.atMostOne(out) {
		if w.free {
			w.isAnnouncement(p)
			w.distance("announcement", w.announced, 2*time.Second)
			w.announced = w.now
			w.toAnnounce--
		} else {
			w.distance("probe", w.probed, w.timing.Min)
			w.probed = w.now
			w.probes++
		}
	}
	if w.toAnnounce < 0 || w.probes > w.timing.Probes {
		w.t.Fatalf("%d probes, %d announcements left", w.probes, w.toAnnounce)
	}
	if next := w.detector.Deadline(); next <= w.now {
		w.t.Fatalf("the deadline %s has passed at %s", next, w.now)
	}
}

func (w *watcher) handle(kind byte) {
	p := map[byte]acd.Packet{1: theirs(announcement()), 2: theirs(probe()), 3: announcement(), 4: probe()}[kind]
	out := w.detector.Handle(w.now, p)
	w.silentAfterConflict(out)
	if out.Verdict == acd.Free || out.Verdict == acd.Conflict && out.By != other() {
		w.t.Fatalf("%+v of a packet", out)
	}
	if kind > 2 && (out.Verdict != acd.Nothing || len(out.Send) != 0) {
		w.t.Fatalf("%+v of our own packet", out)
	}
	if kind == 1 && !w.lost && out.Verdict == acd.Nothing && len(out.Send) == 0 {
		w.t.Fatal("a claim is passed over")
	}
	for _, p := range w.atMostOne(out) {
		w.isAnnouncement(p)
		w.distance("defence", w.defended, 10*time.Second)
		w.defended = w.now
	}
	w.lost = w.lost || out.Verdict == acd.Conflict
}

func (w *watcher) silentAfterConflict(out acd.Output) {
	if w.lost && (len(out.Send) != 0 || out.Verdict != acd.Nothing || w.detector.Deadline() != acd.Never) {
		w.t.Fatalf("%+v after a conflict", out)
	}
}

func (w *watcher) atMostOne(out acd.Output) []acd.Packet {
	if len(out.Send) > 1 || out.Verdict == acd.Conflict && len(out.Send) != 0 {
		w.t.Fatalf("%d packets at once, verdict %d", len(out.Send), out.Verdict)
	}
	for _, p := range out.Send {
		if p.SenderMAC != own() || p.TargetIP != addr() || p.Reply || p.TargetMAC != (acd.MAC{}) {
			w.t.Fatalf("sent %+v", p)
		}
	}
	return out.Send
}

func (w *watcher) isAnnouncement(p acd.Packet) {
	if p.SenderIP == netip.IPv4Unspecified() {
		w.t.Fatalf("a probe for what is in use: %+v", p)
	}
}

func (w *watcher) distance(what string, last, least time.Duration) {
	if w.now-last < least {
		w.t.Fatalf("%s after %s, at least %s", what, w.now-last, least)
	}
}
