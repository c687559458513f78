package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/podlan/podlan/integration/lab"
)

// yearTest simulates the year; with PODLAN_SOAK=1 in full size.
const yearTest = "TestAYearOfRenewals"

// runYear runs the test and returns what it logged last.
func runYear(ctx context.Context, o options, _ func(string, ...any)) (string, error) {
	root, err := lab.ModuleRoot()
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, o.golang, "test", "-run=^"+yearTest+"$", "-count=1", "-v", "-timeout=2h", "./pkg/lease")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "PODLAN_SOAK=1")
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", yearTest, err, out.String())
	}
	if !strings.Contains(out.String(), "--- PASS: "+yearTest) {
		return "", errors.New(yearTest + " was not run: is it still called so?")
	}
	return logged(out.String()), nil
}

// logged returns the last line of t.Log, without its place.
func logged(output string) string {
	last := ""
	for line := range strings.Lines(output) {
		if _, text, ok := strings.Cut(line, ".go:"); ok && strings.HasPrefix(line, "    ") {
			_, text, _ = strings.Cut(text, ": ")
			last = strings.TrimSpace(text)
		}
	}
	return last
}
