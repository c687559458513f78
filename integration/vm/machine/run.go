package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"

	"github.com/podlan/podlan/integration/vm/agent"
)

// killBudget is how long a command has to die once it was killed; then the
// machine is taken for hung.
const killBudget = 30 * time.Second

// ErrNotRun is returned for a command that the guest could not start.
var ErrNotRun = errors.New("the guest could not run the command")

// Command is what to run: a program of the host, by the path it has there.
type Command struct {
	Args []string
	// Dir is the working folder; it exists on the host.
	Dir string
	// Env is the whole environment, as "key=value".
	Env []string
	// Stdout and Stderr are written to as the command writes.
	Stdout, Stderr io.Writer
}

// Run runs a command and returns its exit code: 128 and the signal's number
// where a signal ended it. When ctx ends, the command is killed and the error is
// ctx's; a guest that does not even do that is switched off. A guest that died
// is told by an error with the end of its console.
func (m *Machine) Run(ctx context.Context, c Command) (int, error) {
	path, err := exec.LookPath(c.Args[0])
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNotRun, err)
	}
	start := agent.Start{Args: append([]string{path}, c.Args[1:]...), Dir: c.Dir, Env: c.Env}
	hung, giveUp := context.WithCancelCause(context.WithoutCancel(ctx))
	defer giveUp(nil)
	defer context.AfterFunc(hung, func() { _ = m.conn.Close() })()
	if err := m.out.Encode(agent.Message{Start: &start}); err != nil {
		return 0, m.failed(hung, err)
	}
	told := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(told)
		_ = m.out.Encode(agent.Message{Kill: true})
		time.AfterFunc(killBudget, func() {
			giveUp(fmt.Errorf("%w, and the guest does not answer", context.Cause(ctx)))
		})
	})
	code, err := m.await(hung, c)
	if !stop() {
		<-told // so that it does not meet the next command
	}
	if cause := context.Cause(ctx); cause != nil && err == nil {
		return code, fmt.Errorf("killed %s: %w", c.Args[0], cause)
	}
	return code, err
}

// await passes the command's output on until its end.
func (m *Machine) await(ctx context.Context, c Command) (int, error) {
	for {
		var message agent.Message
		if err := m.in.Decode(&message); err != nil {
			return 0, m.failed(ctx, err)
		}
		switch {
		case message.Exit != nil && message.Exit.Err != "":
			return 0, fmt.Errorf("%w: %s", ErrNotRun, message.Exit.Err)
		case message.Exit != nil:
			return message.Exit.Code, nil
		case message.Output != nil && message.Output.Stderr:
			_, _ = c.Stderr.Write(message.Output.Data) // a reader that left does not end the command
		case message.Output != nil:
			_, _ = c.Stdout.Write(message.Output.Data)
		}
	}
}
