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

func TestACrasherFailsAndIsPrinted(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module crash\n\ngo 1.26\n",
		"pkg/crash/crash_test.go": `package crash

import "testing"

func FuzzCrash(f *testing.F) {
	f.Add("seven")
	f.Fuzz(func(t *testing.T, s string) {
		if s != "seven" {
			panic("not seven")
		}
	})
}
`,
		"cmd/none": "", "plugins/none": "",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	targets, err := Targets(root, "Crash")
	if err != nil {
		t.Fatal(err)
	}
	outcomes := Run(t.Context(), Options{Root: root, Go: "go", Time: "60s", AtOnce: 1, Logf: t.Logf}, targets)
	if len(outcomes) != 1 || outcomes[0].Err == nil {
		t.Fatalf("outcomes: %+v", outcomes)
	}
	for _, want := range []string{"not seven", "go test fuzz v1\nstring("} {
		if !strings.Contains(outcomes[0].Err.Error(), want) {
			t.Errorf("%q is not printed:\n%v", want, outcomes[0].Err)
		}
	}
}
