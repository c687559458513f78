package fuzz

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options say how targets are run.
type Options struct {
	// Root is the tree's folder, Go the go command.
	Root, Go string
	// Time is for each target, as go test's -fuzztime takes it.
	Time string
	// AtOnce is how many targets run at a time, each with one worker.
	AtOnce int
	// Logf prints a line for each target that begins or ends, and every minute.
	Logf func(format string, args ...any)
}

// Outcome is what came of a target. Err holds what failed, with its input.
type Outcome struct {
	Target
	// Progress is the last that go test has told: executions, new inputs.
	Progress string
	Err      error
}

// Run runs the targets and returns an outcome for each, in their order.
func Run(ctx context.Context, opts Options, targets []Target) []Outcome {
	outcomes := make([]Outcome, len(targets))
	slots := make(chan struct{}, max(1, opts.AtOnce))
	var all sync.WaitGroup
	for i, t := range targets {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			outcomes[i] = opts.run(ctx, t)
		})
	}
	all.Wait()
	return outcomes
}

func (o Options) run(ctx context.Context, t Target) Outcome {
	if ctx.Err() != nil {
		return Outcome{Target: t, Err: context.Cause(ctx)}
	}
	o.Logf("%s: %s", t, o.Time)
	out := &output{logf: func(line string) { o.Logf("%s: %s", t, line) }, told: time.Now()}
	// go test ends what takes 10 min, and makes each new input smaller for up to
	// a minute, unless told otherwise.
	cmd := exec.CommandContext(ctx, o.Go, "test", "-run=^$", "-fuzz=^"+t.Func+"$", "-fuzztime="+o.Time,
		"-parallel=1", "-timeout=0", "-fuzzminimizetime=2s", "./"+t.Dir)
	cmd.Dir = o.Root
	cmd.Stdout, cmd.Stderr = out, out
	// go test leaves an interrupt to the test, which has workers of its own.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	outcome := Outcome{Target: t, Progress: out.progress}
	switch {
	case ctx.Err() != nil:
		outcome.Err = context.Cause(ctx)
	case err != nil && !out.onlyDeadline():
		outcome.Err = fmt.Errorf("%s: %w\n%s%s", t, err, strings.Join(out.lines, "\n"), out.input(filepath.Join(o.Root, t.Dir)))
	case out.progress == "":
		outcome.Err = fmt.Errorf("%s: %w", t, errors.New("nothing was executed"))
	}
	o.Logf("%s: %s", t, outcome.word())
	return outcome
}

func (o Outcome) word() string {
	if o.Err != nil {
		return "FAIL"
	}
	return "ok, " + o.Progress
}
