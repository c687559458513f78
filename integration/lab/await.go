package lab

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// patience is how long awaited conditions have: far more than they need on a
// busy machine, so that only what never comes fails.
const patience = 60 * time.Second

// pollInterval is how often a condition is looked at that cannot announce
// itself.
const pollInterval = 10 * time.Millisecond

// Stretch returns what a budget for a usual machine is on this one.
func Stretch(d time.Duration) time.Duration { return rtnltest.Stretch(d) }

// Eventually waits until cond returns nil and ends the test with its last error
// where that does not happen within a minute.
func Eventually(tb TB, what string, cond func() error) {
	tb.Helper()
	if err := Until(tb.Context(), cond); err != nil {
		tb.Fatalf("%s: %v", what, err)
	}
}

// Until waits until cond returns nil, for a minute (more on a slow machine, as Stretch has it)
// or as long as ctx lives. Its error is the condition's last.
func Until(ctx context.Context, cond func() error) error {
	ctx, cancel := context.WithTimeout(ctx, Stretch(patience))
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := cond()
		var ended *endedError
		if err == nil || errors.As(err, &ended) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}
