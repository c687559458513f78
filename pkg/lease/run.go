package lease

import (
	"context"
	"time"
)

// longestSleep bounds how late a suspend of the machine is noticed: timers of
// the runtime stand still meanwhile, the boot-time clock does not.
const longestSleep = 30 * time.Second

// Run keeps the leases until ctx ends. It gives nothing back, but a release
// that is on its way is seen through.
func (k *Keeper) Run(ctx context.Context) error {
	defer k.lock.Release()
	defer k.endJournal()
	defer close(k.done)
	k.store.start()
	timer := time.NewTimer(0) //nolint:forbidigo // only to sleep by; what is due, cfg.Now tells
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			k.drain()
			return nil
		case call := <-k.calls:
			call()
		case h := <-k.heard:
			k.hear(h)
		case <-timer.C:
		}
		timer.Reset(k.turn())
	}
}

// turn does what is due and returns how long nothing will be.
func (k *Keeper) turn() time.Duration {
	now := k.cfg.Now()
	for e := k.due.pop(now); e != nil; e = k.due.pop(now) {
		k.wake(e, now)
	}
	next := min(now+longestSleep, k.endLates(now), k.endFormers(now), k.sayAgain(now), k.eraseMore(now))
	for _, c := range k.cables {
		next = min(next, k.pump(c, now))
	}
	for _, s := range k.segments {
		next = min(next, k.closeIdle(s, now))
	}
	for _, r := range k.ears {
		next = min(next, k.speak(r, now))
	}
	if at, ok := k.due.first(); ok {
		next = min(next, at)
	}
	return max(0, next-k.cfg.Now())
}

// drain waits for releases on their way and for the disk, and hears of both:
// what has been given back must not be found again.
func (k *Keeper) drain() {
	close(k.stopping)
	k.ending = true
	k.hangUp()
	ended := make(chan struct{})
	go func() {
		k.releases.Wait()
		k.store.close()
		close(ended)
	}()
	for {
		select {
		case call := <-k.calls:
			call()
		case <-k.heard:
		case <-ended:
			return
		}
	}
}

// offRun runs f off Run's goroutine, a few at once, unless the keeper stops
// before its turn comes.
func (k *Keeper) offRun(f func()) {
	select {
	case k.aside <- struct{}{}:
		defer func() { <-k.aside }()
		f()
	case <-k.stopping:
	}
}
