//go:build fault

package fault_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/podlan/podlan/pkg/fault"
)

// TestMain is also the process that the faults happen to: it passes the points
// that its arguments name, "!" before those that may fail, and prints each that
// it came past.
func TestMain(m *testing.M) {
	if os.Getenv("PODLAN_FAULT_VICTIM") == "" {
		os.Exit(m.Run())
	}
	for _, name := range os.Args[1:] {
		var err error
		if failing, ok := strings.CutPrefix(name, "!"); ok {
			err = fault.Error(failing)
		} else {
			fault.Point(name)
		}
		if errno, ok := errors.AsType[syscall.Errno](err); ok {
			name += "=" + errno.Error()
		}
		_, _ = os.Stdout.WriteString(name + " ")
	}
}

// victim passes the points with the faults set and returns how far it came.
func victim(t *testing.T, faults, trace string, points ...string) (came string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], points...)
	cmd.Env = append(os.Environ(), "PODLAN_FAULT_VICTIM=1", "PODLAN_FAULT="+faults, "PODLAN_FAULT_TRACE="+trace)
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

func TestTheNthPassingOfAPointIsTheFault(t *testing.T) {
	cases := map[string]struct {
		faults, came string
		killed       bool
	}{
		"none":                   {faults: "", came: "a !b a !b"},
		"another point":          {faults: "c", came: "a !b a !b"},
		"the first":              {faults: "a", came: "", killed: true},
		"the second":             {faults: "a:2", came: "a !b", killed: true},
		"one that is not passed": {faults: "a:3", came: "a !b a !b"},
		"an error":               {faults: "b:EIO", came: "a !b=input/output error a !b"},
		"the second's error":     {faults: "b:2:ENOSPC", came: "a !b a !b=no space left on device"},
		"the other order":        {faults: "b:EROFS:2", came: "a !b a !b=read-only file system"},
		"of a step that fails":   {faults: "b", came: "a", killed: true},
		"several":                {faults: "b:EIO,a:2", came: "a !b=input/output error", killed: true},
		"an error of a point":    {faults: "a:EIO", came: "a !b a !b"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			came, err := victim(t, c.faults, "", "a", "!b", "a", "!b")
			if came != c.came {
				t.Errorf("came past %q, want %q", came, c.came)
			}
			var ended *exec.ExitError
			killed := errors.As(err, &ended) && ended.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
			if killed != c.killed || err != nil && !killed {
				t.Errorf("ended with %v; killed: %t, want %t", err, killed, c.killed)
			}
		})
	}
}

func TestATraceHasEveryPointUpToTheDeath(t *testing.T) {
	trace := filepath.Join(t.TempDir(), "trace")
	for range 2 {
		if _, err := victim(t, "b:2", trace, "a", "!b", "a", "!b", "a"); err == nil {
			t.Error("it was not killed")
		}
	}
	got, err := os.ReadFile(trace)
	once := "point a\nerror b\npoint a\nerror b\n"
	if err != nil || string(got) != once+once {
		t.Errorf("%q, %v; want %q twice", got, err, once)
	}
}

func TestAFaultThatIsNoneIsRefused(t *testing.T) {
	for _, faults := range []string{"a:", "a:0", "a:-1", "a:EPERM", "b,a:x"} {
		if came, err := victim(t, faults, "", "a"); err == nil {
			t.Errorf("%q came past %q; want a refusal", faults, came)
		}
	}
}
