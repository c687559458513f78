// Command bench measures Podlan against containernetworking's bridge and dhcp
// plugins, alternately in one lab, and says which of the targets are met.
//
// It prints to its standard output, progress to its standard error, and writes
// nothing but the file that -json names. `make bench` builds what it runs.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

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
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, opts options) error {
	r := report{Environment: machine.Describe(ctx), Burst: opts.burst}
	log := newProgress(ctx, os.Stderr)
	for _, s := range scenarios(opts) {
		rounds, err := s.run(ctx, opts, log)
		if err != nil {
			return fmt.Errorf("%s: %w", s.title, err)
		}
		r.Tables = append(r.Tables, newTable(s, opts, rounds))
	}
	if opts.crowdRounds > 0 && opts.only != reference {
		t, err := runCrowd(ctx, opts, log)
		if err != nil {
			return fmt.Errorf("%s: %w", t.Title, err)
		}
		r.Tables = append(r.Tables, t)
	}
	if opts.guardRounds > 0 && opts.only != reference {
		t, err := runGuard(ctx, opts, log)
		if err != nil {
			return fmt.Errorf("%s: %w", t.Title, err)
		}
		r.Tables = append(r.Tables, t)
	}
	if opts.nfRounds > 0 {
		t, err := runBridgeNF(ctx, opts, log)
		if err != nil {
			return fmt.Errorf("%s: %w", t.Title, err)
		}
		r.Tables = append(r.Tables, t)
	}
	if err := r.write(os.Stdout); err != nil {
		return err
	}
	if opts.json == "" {
		return nil
	}
	return r.writeJSON(opts.json)
}
