package main

import (
	"context"
	"sync"
	"time"
)

// callLimit is how long a call may take: the kubelet gives up a sandbox then
// (runtimeRequestTimeout).
const callLimit = 2 * time.Minute

// serially makes the calls one after another, with prepare before each, as many
// as begin within the limit: the reference's slow ones may take minutes each.
func (a *arena) serially(
	ctx context.Context, pods []*attachment, prepare func(), call func(*attachment, context.Context) error,
) series {
	var s series
	first := time.Now()
	for _, at := range pods {
		if ctx.Err() != nil {
			break
		}
		if time.Since(first) > a.opts.limit {
			a.logf("%d of %d within %s", len(s.Millis), len(pods), a.opts.limit)
			break
		}
		prepare()
		begin := time.Now()
		err := call(at, ctx)
		s.Millis = append(s.Millis, millis(time.Since(begin)))
		if err != nil {
			s.Failed++
			a.logf("%v", err)
		}
	}
	return s
}

// atOnce makes all calls at the same time.
func (a *arena) atOnce(ctx context.Context, pods []*attachment, call func(*attachment, context.Context) error) burst {
	b := burst{series: series{Millis: make([]float64, len(pods))}}
	errs := make([]error, len(pods))
	start := make(chan struct{})
	var all sync.WaitGroup
	var begin time.Time
	for i, at := range pods {
		all.Go(func() {
			<-start
			errs[i] = call(at, ctx)
			b.Millis[i] = millis(time.Since(begin))
		})
	}
	begin = time.Now()
	close(start)
	all.Wait()
	b.Wall = time.Since(begin).Seconds()
	for _, err := range errs {
		if err != nil {
			b.Failed++
		}
	}
	if b.Failed > 0 {
		a.logf("%d failed: %v", b.Failed, firstOf(errs))
	}
	return b
}

func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
