package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	const skip = `{"Time":"2026-01-01T00:00:00Z","Action":"skip","Package":"p","Test":"TestA/sub"}` + "\n"
	cases := map[string]struct{ list, events, want string }{
		"nothing skipped":       {"", `{"Action":"pass","Package":"p","Test":"TestA"}`, ""},
		"package without tests": {"", `{"Action":"skip","Package":"p"}`, ""},
		"undeclared":            {"# none\n", skip, "p TestA/sub"},
		"declared":              {"p TestA/sub # no such kernel", skip, ""},
		"parent declared":       {"p TestA # no such kernel", skip, ""},
		"other package":         {"q TestA # no such kernel", skip, "p TestA/sub"},
		"no reason":             {"p TestA", skip, "line 1"},
		"events broken":         {"", "{", "unexpected EOF"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := run(write(t, c.list), write(t, c.events))
			if c.want == "" && err != nil {
				t.Fatal(err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("got error %v, want one with %q", err, c.want)
			}
		})
	}
}

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
