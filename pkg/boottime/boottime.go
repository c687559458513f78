// Package boottime tells the time since boot, which neither clock steps nor
// suspend disturb, and which boot it was. It reads the clock and one file of
// /proc and touches nothing else.
package boottime

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Now returns the time since boot, suspend included (CLOCK_BOOTTIME,
// Linux 2.6.39).
func Now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// The clock is as old as Go's own minimum kernel; without it no
		// deadline means anything.
		panic(fmt.Sprintf("clock_gettime(CLOCK_BOOTTIME): %v", err))
	}
	return time.Duration(ts.Nano())
}

// BootID returns the kernel's random name of the current boot. Times since
// boot are comparable only under an equal BootID.
func BootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read the boot ID: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
