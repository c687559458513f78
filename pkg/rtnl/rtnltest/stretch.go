package rtnltest

import (
	"os"
	"strconv"
	"time"
)

// SlowEnv names a variable: how many times slower than others this machine is.
// An emulated one is (integration/vm).
const SlowEnv = "PODLAN_SLOW"

// Stretch returns what a budget for a usual machine is on this one.
func Stretch(d time.Duration) time.Duration {
	factor, err := strconv.Atoi(os.Getenv(SlowEnv))
	if err != nil {
		return d
	}
	return d * time.Duration(max(1, factor))
}
