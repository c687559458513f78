package lab

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
)

// Run builds a LAN outside of a test, for the demo and the benchmark: body gets
// it, and when body has returned, failed or seen ctx end, it is taken down. A
// failed building step ends body and is Run's error.
func Run(ctx context.Context, logf func(format string, args ...any), opts Options, body func(*Lab) error) error {
	r := &runner{ctx: ctx, logf: logf}
	defer r.cleanUp()
	done := make(chan struct{})
	go func() {
		defer close(done)
		// If body panics the process ends, and with it all namespaces.
		if err := body(New(r, opts)); err != nil {
			r.fail(err)
		}
	}()
	<-done
	return r.failure()
}

// runner is a TB without a test. Fatalf ends the goroutine that runs the body,
// as testing's does.
type runner struct {
	ctx  context.Context //nolint:containedctx // it stands in for testing.TB's
	logf func(string, ...any)

	mu       sync.Mutex
	err      error
	cleanups []func()
}

func (r *runner) Helper()                         {}
func (r *runner) Name() string                    { return "lab" }
func (r *runner) Context() context.Context        { return r.ctx }
func (r *runner) Logf(format string, args ...any) { r.logf(format, args...) }
func (r *runner) Failed() bool                    { return r.failure() != nil }

func (r *runner) Fatalf(format string, args ...any) {
	r.fail(fmt.Errorf(format, args...))
	runtime.Goexit()
}

func (r *runner) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *runner) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = errors.Join(r.err, err)
}

func (r *runner) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *runner) cleanUp() {
	r.mu.Lock()
	cleanups := r.cleanups
	r.mu.Unlock()
	for _, f := range slices.Backward(cleanups) {
		f()
	}
}
