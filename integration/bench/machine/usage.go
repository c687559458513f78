package machine

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// Usage is what a process takes of the machine.
type Usage struct {
	// RSS is the resident memory in MB of 10^6 bytes (VmRSS of proc(5)).
	RSS         float64 `json:"rssMB"`
	Threads     int     `json:"threads"`
	Descriptors int     `json:"descriptors"`
}

// UsageOf asks the kernel about a process.
func UsageOf(pid int) (Usage, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Usage{}, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return Usage{}, fmt.Errorf("descriptors of process %d: %w", pid, err)
	}
	kib, err := statusField(status, "VmRSS")
	if err != nil {
		return Usage{}, err
	}
	threads, err := statusField(status, "Threads")
	return Usage{RSS: float64(kib) * 1024 / 1e6, Threads: threads, Descriptors: len(fds)}, err
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
