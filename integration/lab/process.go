package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// stopTime is how long a process has after SIGTERM until it is killed.
const stopTime = 20 * time.Second

// Process is a long-running child in a namespace, its output in a file. Safe
// for concurrent use.
type Process struct {
	name    string
	cmd     *exec.Cmd
	logPath string
	logFrom int64 // where this process's output begins
	done    chan struct{}
	err     error // set before done is closed
}

// startProcess starts the command with its output appended to the file.
func (l *Lab) startProcess(ns *Netns, name string, cmd *exec.Cmd, logPath string) (*Process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close()
	p := &Process{name: name, cmd: cmd, logPath: logPath, done: make(chan struct{})}
	if st, err := log.Stat(); err == nil {
		p.logFrom = st.Size()
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := l.forker.start(ns, cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	l.onClose(p.Kill)
	return p, nil
}

// PID returns the process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running tells whether the process has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends a signal; one to a process that has ended is no error.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// Kill ends the process at once and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop asks the process to end and waits; one that does not is killed, and that
// is an error.
func (p *Process) Stop() error {
	if err := p.Signal(unix.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(Stretch(stopTime))
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		p.Kill()
		return fmt.Errorf("%s did not end within %s of SIGTERM and was killed", p.name, Stretch(stopTime))
	}
}

// Log returns what the process printed.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.logPath)
	if err != nil || int64(len(b)) < p.logFrom {
		return ""
	}
	return string(b[p.logFrom:])
}

// awaitReady waits until ready returns nil; a process that ends before is an
// error with its last words.
func (p *Process) awaitReady(ctx context.Context, ready func() error) error {
	err := Until(ctx, func() error {
		if !p.Running() {
			return &endedError{p.err}
		}
		return ready()
	})
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", p.name, err, tail(p.Log(), 30))
	}
	return nil
}

// endedError tells that waiting is of no use any more.
type endedError struct{ err error }

func (e *endedError) Error() string { return fmt.Sprintf("ended: %v", e.err) }
func (e *endedError) Unwrap() error { return e.err }

// tail returns the last n lines.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// isClosed tells that a socket was closed by us.
func isClosed(err error) bool { return errors.Is(err, os.ErrClosed) }
