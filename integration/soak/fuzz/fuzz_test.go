package fuzz

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheTargetsOfMessageStoreAndAPIAreFound(t *testing.T) {
	targets, err := Targets("../../..", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []Target{
		{"pkg/dhcp4", "FuzzDecode"},
		{"pkg/dhcp4", "FuzzClient"},
		{"pkg/lease", "FuzzDecodeStored"},
		{"pkg/daemon", "FuzzRequest"},
	} {
		if !slices.Contains(targets, want) {
			t.Errorf("%s is not among %v", want, targets)
		}
	}
	if _, err := Targets("../../..", "FuzzNothing"); err == nil {
		t.Error("an expression that matches nothing is no error")
	}
}

func TestOnlyTheEndOfTimeIsForgiven(t *testing.T) {
	const late = "fuzz: elapsed: 30s, execs: 7 (0/sec)\n--- FAIL: FuzzX (30.01s)\n    context deadline exceeded\nFAIL\nexit status 1\nFAIL\tx\t30.1s\n"
	for text, want := range map[string]bool{
		late: true,
		"--- FAIL: FuzzX (3s)\n    --- FAIL: FuzzX (0.00s)\n        x_test.go:5: context deadline exceeded\n\n    Failing input written to y\nFAIL\n": false,
		"panic: index out of range\n" + late: false,
		"FAIL\tx [build failed]\n":           false,
	} {
		o := &output{told: time.Now()}
		if _, err := o.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if got := o.onlyDeadline(); got != want {
			t.Errorf("forgiven: %t, want %t:\n%s", got, want, text)
		}
	}
}

func TestAFailingInputIsPrinted(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "found"), []byte("go test fuzz v1\nstring(\"7\")\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &output{lines: []string{"    Failing input written to found"}}
	if got := o.input(dir); !strings.Contains(got, `string("7")`) {
		t.Errorf("printed: %q", got)
	}
}
