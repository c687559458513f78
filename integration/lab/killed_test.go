package lab_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/podlan/podlan/integration/lab"
)

// When the process that built a lab is killed, its servers and podlands die
// with it, and so do the namespaces that they were in. What is left in the file
// system goes when the next lab is built.
func TestKilledProcessLeavesNoChild(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), "PODLAN_LAB_TEST=killed", "TMPDIR="+tmp)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
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
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err == nil && !strings.Contains(string(b), ") Z ") { // a zombie waits for init only
				return fmt.Errorf("it lives: %s", b)
			}
			return nil
		})
	}
	t.Setenv("TMPDIR", tmp)
	l := lab.New(t, lab.Options{Server: lab.None})
	if left, _ := filepath.Glob(filepath.Join(tmp, "*")); len(left) != 1 || left[0] != l.Dir() {
		t.Errorf("in the temporary folder: %v, want the new lab's alone", left)
	}
	if mounts, err := os.ReadFile("/proc/self/mounts"); err != nil || strings.Count(string(mounts), tmp) > 0 {
		t.Errorf("mounts are left: %s, %v", mounts, err)
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
