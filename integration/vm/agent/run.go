package agent

import (
	"errors"
	"os/exec"
	"syscall"
	"time"
)

// drain is how long the output of a command that is over is waited for: what it
// left running may hold it open for ever.
const drain = 10 * time.Second

// run runs a command and tells the host of its end.
func (s *server) run(start Start) {
	cmd := exec.Command(start.Args[0], start.Args[1:]...)
	cmd.Dir, cmd.Env = start.Dir, start.Env
	cmd.Stdout, cmd.Stderr = stream{s, false}, stream{s, true}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = drain
	err := cmd.Start()
	if err == nil {
		s.started(cmd.Process.Pid)
		err = cmd.Wait()
		s.ended()
	}
	// With the port gone there is nobody to tell.
	_ = s.send(Message{Exit: exitOf(cmd, err)})
}

func exitOf(cmd *exec.Cmd, err error) *Exit {
	var exited *exec.ExitError
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		return &Exit{}
	case !errors.As(err, &exited):
		return &Exit{Code: -1, Err: err.Error()}
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return &Exit{Code: 128 + int(status.Signal())}
	}
	return &Exit{Code: exited.ExitCode()}
}
