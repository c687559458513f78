package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// pkg is a package with tests.
type pkg struct {
	path   string // its import path
	dir    string
	binary string // of its tests
	err    error  // why there is none
}

// compile builds the tests of all packages into a folder. One that does not
// compile is a failure of its own.
func (f flags) compile(ctx context.Context, into string) ([]pkg, error) {
	list := append([]string{"list", "-f", "{{.ImportPath}}\t{{.Dir}}"}, f.packages...)
	cmd := exec.CommandContext(ctx, f.goTool, list...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the packages: %w", err)
	}
	var all []pkg
	for i, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		path, dir, _ := strings.Cut(line, "\t")
		p := pkg{path: path, dir: dir, binary: filepath.Join(into, fmt.Sprintf("%d-%s.test", i, filepath.Base(dir)))}
		if out, err := exec.CommandContext(ctx, f.goTool, "test", "-c", "-o", p.binary, path).CombinedOutput(); err != nil {
			p.err = fmt.Errorf("%w\n%s", err, out)
		}
		all = append(all, p)
	}
	return all, nil
}

// here runs the tests as `go test` does.
func (f flags) here(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, f.goTool, append([]string{"test", "-json", "-count=1"}, f.packages...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return failed(cmd.Run())
}

// failed turns an exit code into errFailed.
func failed(err error) error {
	if _, exited := errors.AsType[*exec.ExitError](err); exited {
		return errFailed
	}
	return err
}
