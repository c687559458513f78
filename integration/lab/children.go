package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Child returns the process ID of the parent's child that runs the named
// program, 0 if there is none. The name is compared as the kernel keeps it, 15
// characters.
func Child(parent int, program string) (int, error) {
	// /proc/<pid>/task/*/children would be direct, but not every kernel has it.
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended since
		}
		pid, comm, ppid, ok := parseStat(b)
		if ok && ppid == parent && comm == program[:min(len(program), 15)] {
			return pid, nil
		}
	}
	return 0, nil
}

// AwaitChild waits until the parent has a child that runs the program.
func AwaitChild(ctx context.Context, parent int, program string) (pid int, err error) {
	err = Until(ctx, func() (err error) {
		if pid, err = Child(parent, program); err == nil && pid == 0 {
			err = fmt.Errorf("process %d has no child %s", parent, program)
		}
		return err
	})
	return pid, err
}

// parseStat reads "pid (comm) state ppid ..." of proc(5); comm may hold
// anything, parentheses included. Zombies do not count.
func parseStat(b []byte) (pid int, comm string, ppid int, ok bool) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return 0, "", 0, false
	}
	fields := strings.Fields(string(b[end+1:]))
	if len(fields) < 2 || fields[0] == "Z" {
		return 0, "", 0, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:open])))
	if err != nil {
		return 0, "", 0, false
	}
	ppid, err = strconv.Atoi(fields[1])
	return pid, string(b[open+1 : end]), ppid, err == nil
}
