package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab"
)

// process is a long-running child in a namespace of the lab. It dies with ctx
// and with this process.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// startProcess starts a program with its output in a file.
func startProcess(ctx context.Context, ns *lab.Netns, log, path string, args ...string) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	defer out.Close()
	p := &process{cmd: exec.CommandContext(ctx, path, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(unix.SIGTERM) } // it removes its socket
	p.cmd.WaitDelay = 2 * time.Second
	started := make(chan error)
	go p.live(ns.FD(), started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return p, nil
}

// live holds the thread that forks the child for as long as it runs: the
// child's death signal is bound to it. It stays locked, so it ends here.
func (p *process) live(netns int, started chan<- error) {
	runtime.LockOSThread()
	err := unix.Setns(netns, unix.CLONE_NEWNET)
	if err == nil {
		err = p.cmd.Start()
	}
	started <- err
	if err == nil {
		_ = p.cmd.Wait()
		close(p.done)
	}
}

// PID returns the process ID.
func (p *process) PID() int { return p.cmd.Process.Pid }

// Stop ends the process and waits for it.
func (p *process) Stop() error {
	if err := p.cmd.Process.Signal(unix.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.cmd.Path, err)
	}
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	return nil
}
