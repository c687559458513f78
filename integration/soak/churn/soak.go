package churn

import (
	"context"
	"fmt"
	"strings"

	"github.com/podlan/podlan/integration/lab"
)

const (
	// workers is how many containers come and go at once, held how many stay,
	// so that the guard's table and podland's sockets are there before as
	// after, and elements of living Pods among those that come and go.
	workers, held = 8, 3
	// warmUp is how many come and go before the state is taken: podland's heap
	// and threads have then grown to what this load needs.
	warmUp = 100

	// memoryMore is how much podland's resident memory may grow, in MB of 10^6
	// bytes. Go's collector does not run below 4 MiB, nor before the heap has
	// doubled, so that much comes and goes with its rhythm; twice that is beyond
	// chance. A leak shows from 16 KB per churn on in 500, and from 800 bytes on
	// in 10,000.
	memoryMore = 8
	// threadsMore is how many threads may come: Go keeps one for each call that
	// the kernel ever held up at the same time, and that is one per worker. A
	// leak would be one per churn.
	threadsMore = workers
)

// Options returns the lab that Soak wants: a server that users have.
func Options() lab.Options { return lab.Options{Server: lab.Dnsmasq} }

// Report is what was before and after.
type Report struct {
	Churns        int
	Before, After State
}

// Soak makes n containers come and go, and returns an error unless all is then
// as before.
func Soak(ctx context.Context, l *lab.Lab, n int, logf func(string, ...any)) (Report, error) {
	r := Report{Churns: n}
	a := New(l, workers)
	if err := a.Hold(ctx, held); err != nil {
		return r, err
	}
	if err := a.Run(ctx, warmUp, func(int) {}); err != nil {
		return r, fmt.Errorf("warm-up: %w", err)
	}
	err := Eventually(ctx, func() error { return a.Only(ctx) })
	if err != nil {
		return r, fmt.Errorf("after the warm-up: %w", err)
	}
	if r.Before, err = a.State(ctx); err != nil {
		return r, err
	}
	told := func(done int) {
		if done%1000 == 0 {
			logf("%d of %d churns", done, n)
		}
	}
	if err := a.Run(ctx, n, told); err != nil {
		return r, err
	}
	err = Eventually(ctx, func() (err error) {
		if r.After, err = a.State(ctx); err != nil {
			return err
		}
		return more(r.Before, r.After)
	})
	if err != nil {
		return r, fmt.Errorf("%d churns left something: %w", n, err)
	}
	return r, a.answer(ctx)
}

// Eventually waits as lab.Until does, but for three minutes: RELEASEs are paced
// to 150 a second and each is sent three times, so hundreds take long already
// on a machine that does nothing else.
func Eventually(ctx context.Context, cond func() error) error {
	err := lab.Until(ctx, cond)
	for range 2 {
		if err != nil && ctx.Err() == nil {
			err = lab.Until(ctx, cond)
		}
	}
	return err
}

// answer tells whether the Pods that stay still answer.
func (a *Arena) answer(ctx context.Context) error {
	for _, h := range a.Held {
		if err := a.Client.Ping(ctx, h.Addr); err != nil {
			return err
		}
	}
	return nil
}

// String tells the numbers, before and after.
func (r Report) String() string {
	b, a := r.Before, r.After
	return fmt.Sprintf("podland: RSS %.1f → %.1f MB, threads %d → %d, descriptors %d → %d, namespaces %d → %d; "+
		"nft elements %d → %d, links %d → %d, leases on the server %d → %d",
		b.Usage.RSS, a.Usage.RSS, b.Usage.Threads, a.Usage.Threads, b.Usage.Descriptors, a.Usage.Descriptors,
		b.Namespaces, a.Namespaces, elements(b), elements(a), len(b.Node.Links), len(a.Node.Links), len(b.Server), len(a.Server))
}

// elements counts those of the node's nftables sets.
func elements(s State) int {
	n := 0
	for _, line := range s.Node.NFT {
		if strings.Contains(line, " set ") && strings.Contains(line, ": ") {
			n++
		}
	}
	return n
}
