//go:build fault

package statefile_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// doFaulty has another process do the deed with the faults.
func doFaulty(t *testing.T, deed, faults string) (said string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), deedEnv+"="+deed, "PODLAN_FAULT="+faults)
	var out bytes.Buffer
	cmd.Stderr = &out
	err = cmd.Run()
	return out.String(), err
}

func TestAFaultOfAnyStepLeavesTheOldOrTheNewAndSaysWhere(t *testing.T) {
	cases := map[string]struct {
		deed  string
		after []int
	}{
		"statefile.put.create":     {"put", []int{1}},
		"statefile.put.write":      {"put", []int{1}},
		"statefile.put.sync":       {"put", []int{1}},
		"statefile.put.rename":     {"put", []int{1}},
		"statefile.put.syncdir":    {"put", []int{2}},
		"statefile.delete.remove":  {"delete", []int{1}},
		"statefile.delete.syncdir": {"delete", nil},
	}
	for point, c := range cases {
		t.Run(point, func(t *testing.T) {
			dir := holding(t, "durable", []int{1})
			said, err := doFaulty(t, c.deed+" durable "+dir.Path(), point+":EIO")
			if err == nil || !strings.Contains(said, filepath.Join(dir.Path(), "x.json")) || !strings.Contains(said, "input/output error") {
				t.Errorf("%v: %q; want the path and the error", err, said)
			}
			if left := names(t, dir); len(left) != len(c.after) {
				t.Errorf("in the folder: %v", left)
			}
			if got := held(t, dir); !slices.Equal(got, c.after) {
				t.Errorf("x is %v, want %v", got, c.after)
			}
		})
	}
}

func TestAPointAfterTheLastStepIsPassed(t *testing.T) {
	for _, deed := range []string{"put", "delete"} {
		dir := holding(t, "durable", []int{1})
		if said, err := doFaulty(t, deed+" durable "+dir.Path(), "statefile."+deed+".done"); err == nil {
			t.Errorf("%s was not killed; it said %q", deed, said)
		}
	}
}
