package lab

import (
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// forker starts long-running children from one thread that lives as long as the
// lab: a child's death signal (PR_SET_PDEATHSIG) is bound to the thread that
// forked it, and Go's threads may end before the process does.
//
// The thread itself does not end with the lab, but goes back to where it came
// from: before it was the lab's it may have forked children of other labs.
type forker struct {
	jobs chan func()
}

func newForker() *forker {
	f := &forker{jobs: make(chan func())}
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		for job := range f.jobs {
			job()
		}
		if err != nil {
			return // a thread that cannot go back ends here
		}
		defer home.Close()
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
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
