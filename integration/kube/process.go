package kube

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab"
)

// process is a long-running child in a namespace of the lab, its output in a
// file. It dies with this process, however that ends.
type process struct {
	name    string
	cmd     *exec.Cmd
	logPath string
	// alive ends with the process; its cause is the process's last words.
	alive context.Context //nolint:containedctx // it is the process's life
	done  chan struct{}
}

// start starts a program in the namespace. Its log lies in the folder.
func start(ns *lab.Netns, dir, name string, cmd *exec.Cmd) (*process, error) {
	p := &process{name: name, cmd: cmd, logPath: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	log, err := os.Create(p.logPath)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	alive, end := context.WithCancelCause(context.Background())
	p.alive = alive
	started := make(chan error)
	go func() {
		defer close(p.done)
		err := live(ns, cmd, started)
		if err == nil {
			err = errors.New("without an error")
		}
		end(fmt.Errorf("it ended: %w\n%s", err, tail(p.log(), 20)))
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// live holds the thread that forks the child for as long as that runs: the
// child's death signal is bound to it. The thread stays locked, so it ends with
// its goroutine.
func live(ns *lab.Netns, cmd *exec.Cmd, started chan<- error) error {
	runtime.LockOSThread()
	err := unix.Setns(ns.FD(), unix.CLONE_NEWNET)
	if err == nil {
		err = cmd.Start()
	}
	started <- err
	if err != nil {
		return err
	}
	return cmd.Wait()
}

// await waits until cond returns nil, for as long as the process lives.
func (p *process) await(ctx context.Context, cond func() error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.alive, func() { cancel(context.Cause(p.alive)) })()
	if err := lab.Until(ctx, cond); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// kill ends the process at once and waits for its end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// log returns what the process printed.
func (p *process) log() string {
	b, err := os.ReadFile(p.logPath)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
