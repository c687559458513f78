//go:build !fault

package fault_test

import (
	"os/exec"
	"testing"
)

// The faults are compiled in by a tag, which a run of all tests does not set.
func TestThePackagesPassTheirTestsOfTheTaggedBuild(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "test", "-tags", "fault", "-run", "Fault|Point|Trace", ".", "../statefile")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go test -tags fault: %v\n%s", err, out)
	}
}
