package lab

import (
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// forker starts long-running children from one thread that lives as long as the
// lab: a child's death signal (PR_SET_PDEATHSIG) is bound to the thread that
// forked it, and Go's threads may end before the process does.
type forker struct {
	jobs chan func()
}

func newForker() *forker {
	f := &forker{jobs: make(chan func())}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread has been elsewhere
		for job := range f.jobs {
			job()
		}
	}()
	return f
}

// start starts the command in the namespace; it dies with this process.
func (f *forker) start(ns *Netns, cmd *exec.Cmd) error {
	dieWithUs(cmd)
	result := make(chan error)
	f.jobs <- func() {
		if err := unix.Setns(ns.FD(), unix.CLONE_NEWNET); err != nil {
			result <- err
			return
		}
		result <- cmd.Start()
	}
	return <-result
}

// close ends the thread; its children must be gone.
func (f *forker) close() { close(f.jobs) }

func dieWithUs(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &unix.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
}
