package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/podlan/podlan/integration/lab"
)

// screen is what the demo prints to; a test may wait for a line.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// The demo succeeds, says what it is there to show, and leaves nothing.
func TestDemo(t *testing.T) {
	ownTemp(t)
	before := machine(t)
	var out screen
	if err := run(t.Context(), &out, options{name: testName()}); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, line := range []string{
		"shop/orders", "shop/stock", "shop/mail",
		"saw 3 DISCOVER and 3 REQUEST and granted 3 leases",
		"$ podlan leases",
		"and registers 198.18.1.0:8080",
		"the same: no NAT, no proxy, no node port in between",
		"each was seen with its own address",
		"kill -9",
		"traffic went on",
		"0 of them DHCP",
		"every lease was given back, none is active",
		"the node is as it was",
		"3 Pods were machines on the LAN, and the DHCP server has every lease back",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("not a word of %q", line)
		}
	}
	if n := strings.Count(out.String(), "DHCPRELEASE"); n != 3 {
		t.Errorf("%d lines tell of a DHCPRELEASE, want 3", n)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("colours, though none were asked for")
	}
	if t.Failed() {
		t.Log(out.String())
	}
	if left := before.missing(machine(t)); len(left) > 0 {
		t.Errorf("left on the machine: %v", left)
	}
}

// With KEEP the LAN stands, with named namespaces, until it is told to end;
// then the Pods are deleted as in any other performance, and nothing is left.
func TestKeep(t *testing.T) {
	ownTemp(t)
	before := machine(t)
	name := testName()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var out screen
	done := make(chan error, 1)
	go func() { done <- run(ctx, &out, options{name: name, keep: true}) }()
	awaitLine(t, &out, done, "Ctrl-C deletes the Pods")

	for _, ns := range []string{"switch", "server", "registry", "client", "n1", "n1-orders", "n1-stock", "n1-mail"} {
		if _, err := os.Stat(filepath.Join(runNetns, name+"-"+ns)); err != nil {
			t.Errorf("no namespace to step into: %v", err)
		}
	}
	if strings.Contains(out.String(), "DEL took") {
		t.Error("the Pods are deleted before it is told to end")
	}
	end()
	if err := <-done; err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if n := strings.Count(out.String(), "DHCPRELEASE"); n != 3 {
		t.Errorf("%d lines tell of a DHCPRELEASE, want 3:\n%s", n, &out)
	}
	if left := before.missing(machine(t)); len(left) > 0 {
		t.Errorf("left on the machine: %v", left)
	}
}

// Who interrupts the demo gets no logs, and the machine back.
func TestInterrupted(t *testing.T) {
	ownTemp(t)
	before := machine(t)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var out screen
	done := make(chan error, 1)
	go func() { done <- run(ctx, &out, options{name: testName()}) }()
	awaitLine(t, &out, done, "shop/orders has")
	end()
	if err := <-done; !errors.Is(err, errInterrupted) {
		t.Errorf("got %v, want errInterrupted", err)
	}
	if !strings.HasSuffix(out.String(), "The demo was interrupted; its LAN is removed.\n") || strings.Contains(out.String(), "podland on n1:") {
		t.Errorf("not a word of it, or too many:\n%s", &out)
	}
	if left := before.missing(machine(t)); len(left) > 0 {
		t.Errorf("left on the machine: %v", left)
	}
}

// What goes wrong is said, with podland's log, and the machine is given back.
func TestFailure(t *testing.T) {
	ownTemp(t)
	bin := t.TempDir()
	for _, program := range []string{"podlan-bridge", "podlan-dhcp", "podlan", "podland"} {
		script := "#!/bin/sh\necho " + program + " has no wish to >&2\nexit 1\n"
		if err := os.WriteFile(filepath.Join(bin, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PODLAN_BIN", bin)
	before := machine(t)
	var out screen
	if err := run(t.Context(), &out, options{name: testName()}); err == nil {
		t.Error("no error")
	}
	for _, want := range []string{"podland on n1:", "podland has no wish to", "✗ The demo failed: step 1"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, &out)
		}
	}
	if left := before.missing(machine(t)); len(left) > 0 {
		t.Errorf("left on the machine: %v", left)
	}
}

// ownTemp gives the test a temporary folder that podland's user can reach.
func ownTemp(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TMPDIR", dir)
}

func testName() string { return fmt.Sprintf("demotest%d", os.Getpid()) }

// awaitLine waits until the demo has printed the text, or has ended.
func awaitLine(t *testing.T, out *screen, done <-chan error, text string) {
	t.Helper()
	err := lab.Until(t.Context(), func() error {
		select {
		case err := <-done:
			t.Fatalf("the demo ended early: %v\n%s", err, out)
		default:
		}
		if !strings.Contains(out.String(), text) {
			return fmt.Errorf("no line with %q", text)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// state is what a demo could leave on the machine, a line each.
type state []string

// machine looks at links, mounts, names, temporary files and children.
func machine(t *testing.T) state {
	t.Helper()
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var s state
	for _, l := range links {
		s = append(s, "link "+l.Name)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		s = append(s, "mount "+strings.TrimSpace(line))
	}
	for _, pattern := range []string{runNetns, filepath.Join(runNetns, testName()+"*"), filepath.Join(os.TempDir(), "*")} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			s = append(s, "file "+f)
		}
	}
	for _, program := range []string{"podland", "podlan-bridge", "podlan-dhcp", "podlan"} {
		if pid, err := lab.Child(os.Getpid(), program); err != nil || pid != 0 {
			s = append(s, fmt.Sprintf("process %d %s %v", pid, program, err))
		}
	}
	return s
}

// missing returns what later has and s has not.
func (s state) missing(later state) state {
	return slices.DeleteFunc(later, func(line string) bool { return slices.Contains(s, line) })
}
