package kill

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/integration/soak/churn"
)

// load are Pods that come and go. An ADD may fail while podland is down; a DEL
// is repeated, as a runtime does, and must succeed in the end.
type load struct {
	added, refused, again atomic.Int64

	stop func()
	all  sync.WaitGroup
	mu   sync.Mutex
	errs []error
}

func (l *load) begin(ctx context.Context, a *churn.Arena) {
	over := make(chan struct{})
	l.stop = sync.OnceFunc(func() { close(over) })
	for worker := range a.Workers() {
		l.all.Go(func() {
			for {
				select {
				case <-over:
					return
				case <-ctx.Done():
					return
				default:
				}
				if err := l.one(ctx, a, worker); err != nil {
					l.mu.Lock()
					l.errs = append(l.errs, err)
					l.mu.Unlock()
					return
				}
			}
		})
	}
}

// one is a Pod's coming and going.
func (l *load) one(ctx context.Context, a *churn.Arena, worker int) error {
	del, err := a.Add(ctx, worker)
	if err == nil {
		l.added.Add(1)
	} else {
		l.refused.Add(1)
	}
	tries := 0
	err = lab.Until(ctx, func() error {
		tries++
		return del(ctx)
	})
	if tries > 1 {
		l.again.Add(1)
	}
	if ctx.Err() == nil { // else it is the run's end, not a DEL's
		return err
	}
	return nil
}

// end lets the last Pods go, and returns what failed.
func (l *load) end() error {
	l.stop()
	l.all.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}

func (l *load) String() string {
	return fmt.Sprintf("%d Pods came and went, %d were refused, %d DELs repeated", l.added.Load(), l.refused.Load(), l.again.Load())
}
