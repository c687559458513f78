// Command soak runs what takes too long for every change: thousands of ADDs and
// DELs, podland killed hundreds of times under load, the fuzz targets for
// minutes each, a simulated year of renewals.
//
// It prints its progress and, with -doc, writes each stage's result into that
// file as soon as there is one. Otherwise it touches nothing outside of its own
// network namespaces and Go's cache. `make soak` builds what it runs.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/podlan/podlan/integration/bench/machine"
)

func main() {
	opts, err := parseFlags(os.Args[1:])
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		err = run(ctx, opts)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// run runs the stages, also those after one that failed.
func run(ctx context.Context, opts options) error {
	var failed []error
	for _, s := range opts.stages {
		logf := progress(ctx, s.name)
		where := machine.Describe(ctx)
		what := s.what(opts)
		logf("%s", what)
		began := time.Now()
		numbers, err := s.run(ctx, opts, logf)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r := result{stage: s.name, what: what, pass: err == nil, numbers: numbers, took: time.Since(began), where: where}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", s.name, err))
			logf("%v", err)
		}
		logf("%s after %s: %s", r.verdict(), r.took.Round(time.Second), numbers)
		if opts.doc != "" {
			failed = append(failed, r.record(opts.doc))
		}
	}
	return errors.Join(failed...)
}

// progress prints lines with the stage and the time since its beginning, until
// ctx ends: nobody waits then, and what fails is no news.
func progress(ctx context.Context, stage string) func(string, ...any) {
	began := time.Now()
	return func(format string, args ...any) {
		if ctx.Err() != nil {
			return
		}
		s := int(time.Since(began).Seconds())
		fmt.Printf("%s %02d:%02d "+format+"\n", append([]any{stage, s / 60, s % 60}, args...)...)
	}
}
