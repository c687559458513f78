package statefile_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

const tracedEnv = "PODLAN_STATEFILE_TRACED"

// askToBeTraced has the parent see each system call of this goroutine, which
// stays on its thread. The parent reads the thread's number.
func askToBeTraced() error {
	debug.SetGCPercent(-1)
	runtime.LockOSThread()
	if _, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("ptrace: %w", errno)
	}
	_, _ = fmt.Fprintln(os.Stdout, unix.Gettid()) // from here on the parent can wait for it
	return unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGSTOP)
}

// doKilled has another process do the deed and kills it, as kill -9 does,
// before its nth system call. calls are the numbers of those before; done: it
// did the deed with fewer. Calls of Go's scheduler do not count: they come as
// they like and touch no file.
func doKilled(deed string, n int) (calls []uint64, done bool, err error) {
	ended := make(chan struct{})
	go func() { // a thread traces whom it forked
		defer close(ended)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var v *victim
		if v, err = startVictim(deed); err == nil {
			calls, done, err = v.run(n)
		}
	}()
	<-ended
	return calls, done, err
}

// victim is a traced thread of another process.
type victim struct {
	cmd *exec.Cmd
	tid int
}

func startVictim(deed string) (*victim, error) {
	cmd := exec.Command(os.Args[0])
	// A signal of Go's scheduler would stop it, being traced.
	cmd.Env = append(os.Environ(), deedEnv+"="+deed, tracedEnv+"=1", "GODEBUG=asyncpreemptoff=1", "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(err, cmd.Wait())
	}
	v := &victim{cmd: cmd}
	if v.tid, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
		return nil, err
	}
	if status, err := v.wait(); err != nil || status.StopSignal() != unix.SIGSTOP {
		return nil, fmt.Errorf("the process did not stop: %#x, %w", status, err)
	}
	return v, unix.PtraceSetOptions(v.tid, unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_EXITKILL)
}

// run lets the process come as far as its nth system call.
func (v *victim) run(n int) (calls []uint64, done bool, err error) {
	pass := 0 // a signal that it is to get
	for {
		if err := unix.PtraceSyscall(v.tid, pass); err != nil {
			return calls, false, fmt.Errorf("ptrace: %w", err)
		}
		status, err := v.wait()
		if err != nil {
			return calls, false, err
		}
		pass = 0
		switch {
		case status.Exited():
			return calls, status.ExitStatus() == 0, v.reap()
		case status.Signaled():
			return calls, false, fmt.Errorf("it died of %s", status.Signal())
		case status.StopSignal() != unix.SIGTRAP|0x80:
			pass = int(status.StopSignal())
			continue
		}
		call, entering, err := v.call()
		if err != nil {
			return calls, false, err
		}
		if !entering || slices.Contains(schedulers(), call) {
			continue
		}
		if len(calls)+1 == n {
			return calls, false, v.kill()
		}
		calls = append(calls, call)
	}
}

func (v *victim) wait() (unix.WaitStatus, error) {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(v.tid, &status, unix.WALL, nil)
		if !errors.Is(err, unix.EINTR) {
			return status, err
		}
	}
}

func (v *victim) kill() error {
	if err := v.cmd.Process.Kill(); err != nil {
		return err
	}
	for {
		status, err := v.wait()
		if err != nil {
			return err
		}
		if status.Signaled() {
			return v.reap()
		}
	}
}

// reap waits for the process, if its traced thread was not all of it.
func (v *victim) reap() error {
	if v.tid == v.cmd.Process.Pid {
		return v.cmd.Process.Release()
	}
	if err := v.cmd.Wait(); err != nil && v.cmd.ProcessState == nil {
		return err
	}
	return nil
}

// call tells which system call the thread has stopped at: ptrace(2),
// PTRACE_GET_SYSCALL_INFO.
func (v *victim) call() (number uint64, entering bool, err error) {
	const getSyscallInfo, opEntry = 0x420e, 1
	var info struct {
		op              uint8
		_               [3]uint8
		arch            uint32
		instruction, sp uint64
		number          uint64
		args            [7]uint64
	}
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, getSyscallInfo, uintptr(v.tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return 0, false, fmt.Errorf("ptrace: %w", errno)
	}
	return info.number, info.op == opEntry, nil
}

// schedulers are the system calls of Go's scheduler and memory.
func schedulers() []uint64 {
	return []uint64{
		unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_SCHED_YIELD, unix.SYS_CLONE, unix.SYS_CLONE3, unix.SYS_TGKILL, unix.SYS_GETPID,
		unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
		unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2, unix.SYS_FCNTL, unix.SYS_EXIT_GROUP,
		unix.SYS_MPROTECT, unix.SYS_PRCTL,
	}
}
