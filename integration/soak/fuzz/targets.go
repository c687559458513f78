// Package fuzz runs the tree's fuzz targets, several at a time, and tells what
// came of each. It writes only where Go's fuzzing does: its cache, and an input
// that fails below the target's testdata/fuzz.
package fuzz

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Target is a fuzz function.
type Target struct {
	// Dir is its package's folder, relative to the tree's.
	Dir, Func string
}

func (t Target) String() string { return t.Dir + " " + t.Func }

// Targets returns the fuzz targets of the programs' packages whose "folder
// function" the expression matches, in the order of their folders. None is an
// error: who asks for a target that is gone must not take it for passed.
func Targets(root, expression string) ([]Target, error) {
	wanted, err := regexp.Compile(expression)
	if err != nil {
		return nil, fmt.Errorf("which fuzz targets: %w", err)
	}
	var found []Target
	for _, top := range []string{"cmd", "pkg", "plugins"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			targets, err := in(root, path)
			for _, t := range targets {
				if wanted.MatchString(t.String()) {
					found = append(found, t)
				}
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("fuzz targets: %w", err)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no fuzz target matches %q", expression)
	}
	return found, nil
}

// in returns the targets of a file.
func in(root, path string) ([]Target, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Rel(root, filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	var found []Target
	for _, m := range regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`).FindAllSubmatch(text, -1) {
		found = append(found, Target{Dir: dir, Func: string(m[1])})
	}
	return found, nil
}
