package dhcp4_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/pkg/dhcp4"
)

// TestLivesAtRandom leads clients through what may happen to them, as
// FuzzClient does, with replies that are more often of use.
func TestLivesAtRandom(t *testing.T) {
	for seed := range uint64(300) {
		chance := rand.New(rand.NewPCG(seed, 1))
		l := newLife(t, seed)
		l.begin(nil)
		for range 200 {
			opts := pack(option(54, 192, 0, 2, byte(1+chance.IntN(8)/7)), option(80), option(51, secs(time.Duration(1+chance.IntN(7200))*time.Second)...))
			l.step([]byte{0x30, 1, 1, 1, 2, 2, 5, 5, 5, 5, 6, 9, 10, 11, 12, 0x5d, byte(chance.IntN(256))}[chance.IntN(17)], opts)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestAYearWithAServerThatFails: one answer in five is lost, one in a
// thousand is a NAK, and now and then somebody else takes the address. Who was
// told of an address keeps to it, never past its end, and gets it back.
func TestAYearWithAServerThatFails(t *testing.T) {
	l := newLife(t, 4) // with a list of servers
	chance := rand.New(rand.NewPCG(4, 2))
	l.begin(nil)
	var lost, back int
	var without time.Duration
	since := boot
	for l.now < boot+365*24*time.Hour {
		before := l.held != nil
		switch n := chance.IntN(1000); {
		case !l.client.Waiting() && before && n == 0:
			l.check(l.client.Decline(l.now, conflict))
		case !l.client.Waiting() || n < 200: // silence
			l.now = l.client.Deadline()
			l.check(l.client.Tick(l.now))
		case n == 999:
			l.check(l.client.Handle(l.now, nak(t, l.client, generous())))
		case l.client.State() == dhcp4.Selecting:
			l.check(l.client.Handle(l.now, answer(t, l.client, dhcpv4.MessageTypeOffer, leased(), generous())))
		default:
			l.check(l.client.Handle(l.now, ack(t, l.client, generous())))
		}
		switch {
		case before && l.held == nil:
			lost, since = lost+1, l.now
		case !before && l.held != nil:
			back, without = back+1, max(without, l.now-since)
		}
		if l.held != nil && l.now >= l.held.Expiry || t.Failed() {
			t.Fatalf("after %s: held past its end, or see above", l.now-boot)
		}
	}
	if lost < 10 || back < lost || without > 10*time.Minute {
		t.Errorf("lost %d times, got %d times, at most %s without", lost, back, without)
	}
}
