package house

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPackagesAreDocumented(t *testing.T) {
	for _, p := range packages(t) {
		if filepath.Base(p.rel()) == "testdata" {
			continue
		}
		start := "Package " + p.Name + " "
		if p.Name == "main" {
			start = "Command " + filepath.Base(p.ImportPath) + " "
		}
		if !strings.HasPrefix(p.Doc, start) || !strings.HasSuffix(p.Doc, ".") {
			t.Errorf("%s: its doc wants a sentence that starts with %q, has %q", p.rel(), start, p.Doc)
		}
	}
}

func TestFilesStaySmall(t *testing.T) {
	const most = 400
	// Each with the reason why it is not two files.
	allowed := map[string]string{}
	files(t, "*.go", func(path string) {
		lines := bytes.Count(read(t, path), []byte("\n"))
		if reason := allowed[path]; lines > most && reason == "" {
			t.Errorf("%s has %d lines, above %d: which of its parts belongs elsewhere?", path, lines, most)
		}
	})
}

// A sample that no test runs is a sample that does not work.
func TestSamplesAreTested(t *testing.T) {
	var tests []byte
	files(t, "*_test.go", func(path string) {
		if !strings.HasPrefix(path, "integration/house/") {
			tests = append(tests, read(t, path)...)
		}
	})
	n := 0
	files(t, "*.conflist", func(path string) {
		if filepath.Dir(path) != "conf" {
			return
		}
		n++
		if !bytes.Contains(tests, []byte(filepath.Base(path))) {
			t.Errorf("no test names %s", path)
		}
	})
	if n == 0 {
		t.Error("conf/ has no sample")
	}
}

func TestMakeTargetsAreDocumented(t *testing.T) {
	help := string(command(t, "make", "help"))
	for line := range strings.Lines(string(read(t, "Makefile"))) {
		target, ok := strings.CutPrefix(line, ".PHONY: ")
		if !ok || strings.HasPrefix(target, "need-") {
			continue
		}
		if target = strings.TrimSpace(target); !strings.Contains(help, "make "+target+" ") {
			t.Errorf("make help does not tell of %s: it wants a ## comment", target)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A test that skips for want of VLANs has to run in the virtual machine.
func TestPackagesWithTestsOfVLANsRunInTheVirtualMachine(t *testing.T) {
	_, rest, _ := strings.Cut(string(read(t, "Makefile")), "\nVLAN_PACKAGES :=")
	value, _, _ := strings.Cut(rest, "\n#")
	list := strings.Fields(value)
	files(t, "*_test.go", func(path string) {
		dir := "./" + filepath.Dir(path)
		if bytes.Contains(read(t, path), []byte("\trtnltest.NeedVLAN(")) && !slices.Contains(list, dir) {
			t.Errorf("%s: VLAN_PACKAGES in the Makefile wants %s", path, dir)
		}
	})
}
