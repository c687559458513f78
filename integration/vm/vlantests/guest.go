package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/podlan/podlan/integration/vm/machine"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// How long the tests of a package may take in the machine: first their own
// timeout tells what hung, then they are killed.
const (
	testBudget = 30 * time.Minute
	killBudget = testBudget + time.Minute
)

// inMachine runs the tests of all packages in one boot. The events bear the
// package's name with the machine's behind it, so that what also ran on this
// kernel is told apart.
func (f flags) inMachine(ctx context.Context, here string) error {
	dir, err := os.MkdirTemp("", "podlan-vlantests-")
	if err != nil {
		return fmt.Errorf("folder for the tests: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := f.say("none ran"); err != nil {
		return err
	}
	all, err := f.compile(ctx, dir)
	if err != nil {
		return err
	}
	// A cable for the test that has a NIC as uplink.
	m, err := machine.Boot(ctx, machine.Options{NICs: 2})
	if err != nil {
		return err
	}
	defer m.Close()
	if err := f.say("in a VM, Linux %s (this kernel, %s, has no 802.1Q or no bridge VLAN filtering)", m.Release, here); err != nil {
		return err
	}
	var verdict error
	for _, p := range all {
		switch err := f.test(ctx, m, p); {
		case errors.Is(err, errFailed):
			verdict = err
		case err != nil:
			return err
		}
	}
	return verdict
}

// test runs one package's tests. What becomes of it all goes through test2json,
// which ends with what it thinks was their success.
func (f flags) test(ctx context.Context, m *machine.Machine, p pkg) error {
	name := fmt.Sprintf("%s [VM Linux %s]", p.path, m.Release)
	events := exec.CommandContext(ctx, f.goTool, "tool", "test2json", "-t", "-p", name)
	events.Stdout, events.Stderr = os.Stdout, os.Stderr
	in, err := events.StdinPipe()
	if err != nil {
		return fmt.Errorf("test2json: %w", err)
	}
	if err := events.Start(); err != nil {
		return fmt.Errorf("test2json: %w", err)
	}
	err = f.feed(ctx, m, p, in)
	if err != nil {
		// As `go test` says it, and test2json takes it. On a line of its own.
		fmt.Fprintf(in, "\n%v\nFAIL\t%s\n", err, name)
	}
	_ = in.Close()
	if waitErr := events.Wait(); waitErr != nil {
		return fmt.Errorf("test2json: %w", waitErr)
	}
	if err != nil {
		return errFailed
	}
	return nil
}

// feed writes what the tests print to out, and returns how they failed.
func (f flags) feed(ctx context.Context, m *machine.Machine, p pkg, out io.Writer) error {
	if p.err != nil {
		return p.err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, killBudget, fmt.Errorf("not over after %s", killBudget))
	defer cancel()
	code, err := m.Run(ctx, machine.Command{
		Args: []string{
			p.binary, "-test.v=test2json", "-test.paniconexit0", fmt.Sprintf("-test.timeout=%s", testBudget),
			fmt.Sprintf("-test.parallel=%d", f.parallel),
		},
		Dir:    p.dir,
		Env:    append(os.Environ(), fmt.Sprintf("%s=%d", rtnltest.SlowEnv, f.slow)),
		Stdout: out,
		Stderr: out, // in the order in which it came, as with `go test`
	})
	if err == nil && code != 0 {
		err = fmt.Errorf("exit status %d", code)
	}
	return err
}
