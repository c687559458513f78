package house

import (
	"fmt"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// filter is of the system calls what podland and iptables might want: of
// SystemCallFilter= the groups that are taken out, RestrictAddressFamilies=,
// RestrictNamespaces=, MemoryDenyWriteExecute=. Refused with SystemCallErrorNumber=.
func (s sandbox) filter() error {
	program, err := s.program()
	if err != nil {
		return err
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0)
}

// Where struct seccomp_data has the call's number and its arguments' lower halves.
const (
	callNumber = 0
	firstArg   = 16
	argSize    = 8
)

func (s sandbox) program() ([]unix.SockFilter, error) {
	all := []bpf.Instruction{bpf.LoadAbsolute{Off: callNumber, Size: 4}}
	for _, call := range deniedCalls() {
		all = append(all, denied(call, unix.EPERM)...)
	}
	if s.yes("RestrictNamespaces") {
		all = append(all, denied(unix.SYS_UNSHARE, unix.EPERM)...)
		all = append(all, denied(unix.SYS_SETNS, unix.EPERM)...)
		all = append(all, denied(unix.SYS_CLONE3, unix.ENOSYS)...) // whose flags are out of sight
	}
	if s.yes("MemoryDenyWriteExecute") {
		const prot = firstArg + 2*argSize
		writeExec := []bpf.Instruction{
			bpf.LoadAbsolute{Off: prot, Size: 4},
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: unix.PROT_WRITE | unix.PROT_EXEC},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PROT_WRITE | unix.PROT_EXEC, SkipFalse: 1},
			refusal(unix.EPERM),
		}
		exec := []bpf.Instruction{
			bpf.LoadAbsolute{Off: prot, Size: 4},
			bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: unix.PROT_EXEC, SkipFalse: 1},
			refusal(unix.EPERM),
		}
		all = append(append(all, about(unix.SYS_MMAP, writeExec)...), about(unix.SYS_MPROTECT, exec)...)
	}
	all = append(all, about(unix.SYS_SOCKET, s.families())...)
	raw, err := bpf.Assemble(append(all, bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}))
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	var program []unix.SockFilter
	for _, r := range raw {
		program = append(program, unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K})
	}
	return program, nil
}

// families refuses sockets of all but RestrictAddressFamilies=.
func (s sandbox) families() []bpf.Instruction {
	known := map[string]uint32{"AF_UNIX": unix.AF_UNIX, "AF_NETLINK": unix.AF_NETLINK, "AF_PACKET": unix.AF_PACKET, "AF_INET": unix.AF_INET, "AF_INET6": unix.AF_INET6}
	names := s.Settings["RestrictAddressFamilies"]
	all := []bpf.Instruction{bpf.LoadAbsolute{Off: firstArg, Size: 4}}
	for i, name := range names {
		all = append(all, bpf.JumpIf{Cond: bpf.JumpEqual, Val: known[name], SkipTrue: uint8(len(names) - i)})
	}
	return append(all, refusal(unix.EAFNOSUPPORT))
}

func refusal(errno unix.Errno) bpf.Instruction {
	return bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(errno)}
}

// denied refuses a call whose number has been loaded.
func denied(call uint32, errno unix.Errno) []bpf.Instruction {
	return []bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpEqual, Val: call, SkipFalse: 1}, refusal(errno)}
}

// about judges a call whose number has been loaded, and loads it again.
func about(call uint32, judge []bpf.Instruction) []bpf.Instruction {
	all := append([]bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: call, SkipTrue: uint8(len(judge))}}, judge...)
	return append(all, bpf.LoadAbsolute{Off: callNumber, Size: 4})
}

// deniedCalls are of SystemCallFilter=~@resources @privileged those that every
// architecture has.
func deniedCalls() []uint32 {
	return []uint32{
		// @resources
		unix.SYS_IOPRIO_SET, unix.SYS_MBIND, unix.SYS_MIGRATE_PAGES, unix.SYS_MOVE_PAGES, unix.SYS_SCHED_SETAFFINITY,
		unix.SYS_SCHED_SETATTR, unix.SYS_SCHED_SETPARAM, unix.SYS_SCHED_SETSCHEDULER, unix.SYS_SET_MEMPOLICY, unix.SYS_SETPRIORITY, unix.SYS_SETRLIMIT,
		// @privileged, with @chown, @clock, @module, @reboot and @swap
		unix.SYS_ACCT, unix.SYS_BPF, unix.SYS_CAPSET, unix.SYS_CHROOT, unix.SYS_FANOTIFY_INIT, unix.SYS_FANOTIFY_MARK,
		unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_PIVOT_ROOT, unix.SYS_QUOTACTL, unix.SYS_SETDOMAINNAME, unix.SYS_SETFSUID, unix.SYS_SETFSGID,
		unix.SYS_SETGROUPS, unix.SYS_SETHOSTNAME, unix.SYS_SETRESUID, unix.SYS_SETREUID, unix.SYS_SETUID, unix.SYS_VHANGUP,
		unix.SYS_FCHOWN, unix.SYS_FCHOWNAT, unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME, unix.SYS_CLOCK_SETTIME, unix.SYS_SETTIMEOFDAY,
		unix.SYS_DELETE_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_INIT_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF,
		// not of @system-service
		unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PTRACE,
	}
}
