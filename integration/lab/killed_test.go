package lab_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/lab"
)

// When the process that built a lab is killed, its servers and podlands die
// with it, and so do the namespaces that they were in.
func TestKilledProcessLeavesNoChild(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Its folder is left, in ours.
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), "PODLAN_LAB_TEST=killed", "TMPDIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pids := readPIDs(t, bufio.NewScanner(out))
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if len(pids) != 4 {
		t.Fatalf("children %v, want three servers and a podland", pids)
	}
	for _, pid := range pids {
		lab.Eventually(t, fmt.Sprintf("process %d ends", pid), func() error {
			if err := unix.Kill(pid, 0); err != unix.ESRCH {
				return fmt.Errorf("it lives: %w", err)
			}
			return nil
		})
	}
}

func readPIDs(t *testing.T, scan *bufio.Scanner) (pids []int) {
	t.Helper()
	for scan.Scan() && scan.Text() != "up" {
		pid, err := strconv.Atoi(scan.Text())
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}
