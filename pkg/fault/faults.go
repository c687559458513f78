//go:build fault

package fault

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

const (
	// wantedEnv is "point[:n][:action]", several of them with commas between:
	// the nth passing of the point (default the first) kills the process or,
	// where the action is EIO, ENOSPC or EROFS, is that error. An error that
	// comes of a Point, which cannot fail, is lost.
	wantedEnv = "PODLAN_FAULT"
	// traceEnv is a file that gets a line for each point passed, "point <name>"
	// or "error <name>".
	traceEnv = "PODLAN_FAULT_TRACE"
)

// Point is a step: a process that is to die there dies.
func Point(name string) { _ = state().pass("point", name) }

// Error is a step that may fail: the error that is to come of it, else nil.
func Error(name string) error { return state().pass("error", name) }

// state is read from the environment when the first point is passed.
//
//nolint:gochecknoglobals // points are everywhere, and this file in no release
var state = sync.OnceValue(func() *faults {
	wanted, err := parse(os.Getenv(wantedEnv))
	if err != nil {
		panic(wantedEnv + ": " + err.Error())
	}
	return &faults{wanted: wanted, trace: os.Getenv(traceEnv), passed: map[string]int{}}
})

// faults is what is to happen, and what has been passed.
type faults struct {
	wanted []wish
	trace  string

	mu     sync.Mutex
	passed map[string]int
}

// wish is one fault: of the nth passing of the point; err nil: death.
type wish struct {
	point string
	nth   int
	err   error
}

func (f *faults) pass(kind, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.passed[name]++
	f.note(kind + " " + name + "\n")
	for _, w := range f.wanted {
		if w.point != name || w.nth != f.passed[name] {
			continue
		}
		if w.err == nil {
			die()
		}
		return w.err
	}
	return nil
}

func (f *faults) note(line string) {
	if f.trace == "" {
		return
	}
	file, err := os.OpenFile(f.trace, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = file.WriteString(line)
		_ = file.Close()
	}
	if err != nil {
		panic(traceEnv + ": " + err.Error())
	}
}

// die ends the process as kill -9 does: nothing is flushed, closed or deferred.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // not one step further
}

func parse(text string) ([]wish, error) {
	if text == "" {
		return nil, nil
	}
	var all []wish
	for one := range strings.SplitSeq(text, ",") {
		w := wish{nth: 1}
		fields := strings.Split(one, ":")
		w.point = fields[0]
		for _, field := range fields[1:] {
			if n, err := strconv.Atoi(field); err == nil && n > 0 {
				w.nth = n
				continue
			}
			if w.err = errorNamed(field); w.err == nil {
				return nil, fmt.Errorf("%q is neither the number of a passing nor EIO, ENOSPC or EROFS", field)
			}
		}
		all = append(all, w)
	}
	return all, nil
}

func errorNamed(name string) error {
	switch name {
	case "EIO":
		return syscall.EIO
	case "ENOSPC":
		return syscall.ENOSPC
	case "EROFS":
		return syscall.EROFS
	}
	return nil
}
