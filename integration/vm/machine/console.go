package machine

import (
	"strings"
	"sync"
)

// consoleKept is how much of the console is kept, in bytes: a kernel's last
// words and the trace before them.
const consoleKept = 16 << 10

// console keeps the end of what the guest's console and QEMU print.
type console struct {
	mu   sync.Mutex
	kept []byte
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = append(c.kept, p...)
	c.kept = c.kept[max(0, len(c.kept)-consoleKept):]
	return len(p), nil
}

// tail returns the last lines.
func (c *console) tail() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(c.kept), "\r", "")), "\n")
	return strings.Join(lines[max(0, len(lines)-60):], "\n")
}
