package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

func TestRun(t *testing.T) {
	const (
		noVLAN   = `{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: ` + rtnltest.NoVLAN + `\n"}` + "\n" + `{"Action":"skip","Package":"p","Test":"TestA"}` + "\n"
		other    = `{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: no such tool\n"}` + "\n" + `{"Action":"skip","Package":"p","Test":"TestA"}` + "\n"
		passed   = `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n"
		inVM     = `{"Action":"pass","Package":"p [VM Linux 6.1.0-56-amd64]","Test":"TestA"}` + "\n"
		failedVM = `{"Action":"fail","Package":"p [VM Linux 6.1.0-56-amd64]","Test":"TestA"}` + "\n"
		otherVM  = `{"Action":"pass","Package":"q [VM Linux 6.1.0-56-amd64]","Test":"TestA"}` + "\n"
		skipVM   = `{"Action":"skip","Package":"p [VM Linux 6.1.0-56-amd64]","Test":"TestA"}` + "\n"
	)
	const skip = `{"Time":"2026-01-01T00:00:00Z","Action":"skip","Package":"p","Test":"TestA/sub"}` + "\n"
	cases := map[string]struct{ list, events, want string }{
		"nothing skipped":                    {"", `{"Action":"pass","Package":"p","Test":"TestA"}`, ""},
		"package without tests":              {"", `{"Action":"skip","Package":"p"}`, ""},
		"undeclared":                         {"# none\n", skip, "p TestA/sub"},
		"declared":                           {"p TestA/sub # no such kernel", skip, ""},
		"parent declared":                    {"p TestA # no such kernel", skip, ""},
		"other package":                      {"q TestA # no such kernel", skip, "p TestA/sub"},
		"no reason":                          {"p TestA", skip, "line 1"},
		"no VLANs, passed in the VM":         {"", noVLAN + inVM, ""},
		"no VLANs, no VM":                    {"", noVLAN, "did not pass in the virtual machine: p TestA"},
		"no VLANs, failed in the VM":         {"", noVLAN + failedVM, "did not pass in the virtual machine"},
		"no VLANs, another's pass in the VM": {"", noVLAN + otherVM, "did not pass in the virtual machine"},
		"other reason, passed in the VM":     {"", other + inVM, "p TestA"},
		"skipped in the VM, passed outside":  {"", passed + skipVM, ""},
		"skipped in the VM alone":            {"", skipVM, "did not pass outside: p TestA"},
		"skipped on both sides":              {"", noVLAN + skipVM, "did not pass outside"},
		"declared, skipped in the VM":        {"p TestA # no such kernel", skipVM, ""},
		"events broken":                      {"", "{", "unexpected EOF"},
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
