package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// usage is what a process takes of the machine.
type usage struct {
	// RSS is the resident memory in MB of 10^6 bytes (VmRSS of proc(5)).
	RSS         float64 `json:"rssMB"`
	Threads     int     `json:"threads"`
	Descriptors int     `json:"descriptors"`
}

func usageOf(pid int) (usage, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return usage{}, fmt.Errorf("memory of the daemon: %w", err)
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return usage{}, fmt.Errorf("descriptors of the daemon: %w", err)
	}
	kib, err := statusField(status, "VmRSS")
	if err != nil {
		return usage{}, err
	}
	threads, err := statusField(status, "Threads")
	return usage{RSS: float64(kib) * 1024 / 1e6, Threads: threads, Descriptors: len(fds)}, err
}

// statusField reads a number of /proc/<pid>/status.
func statusField(status []byte, name string) (int, error) {
	for line := range bytes.Lines(status) {
		value, ok := bytes.CutPrefix(line, []byte(name+":"))
		if f := bytes.Fields(value); ok && len(f) > 0 {
			return strconv.Atoi(string(f[0]))
		}
	}
	return 0, fmt.Errorf("/proc/<pid>/status has no %s", name)
}
