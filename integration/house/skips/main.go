// Command skips fails when a test skipped that the list does not name: it reads
// the list and a file of test2json events and touches nothing.
//
//	skips LIST EVENTS
//
// A line of the list is `package test # reason`; the test covers its subtests.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: skips LIST EVENTS")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// test names a test as test2json and the list do.
type test struct{ Package, Test string }

func run(list, events string) error {
	declared, err := readFile(list, readList)
	if err != nil {
		return err
	}
	skipped, err := readFile(events, readSkips)
	if err != nil {
		return err
	}
	var bad []error
	for _, s := range skipped {
		parent, _, _ := strings.Cut(s.Test, "/")
		if !declared[s] && !declared[test{s.Package, parent}] {
			bad = append(bad, fmt.Errorf("skipped, and %s does not say why: %s %s", list, s.Package, s.Test))
		}
	}
	return errors.Join(bad...)
}

func readFile[T any](path string, read func(io.Reader) (T, error)) (T, error) {
	f, err := os.Open(path)
	if err != nil {
		var none T
		return none, err
	}
	defer f.Close()
	v, err := read(f)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return v, err
}

func readList(r io.Reader) (map[test]bool, error) {
	declared := map[test]bool{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		entry, reason, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(entry)
		switch {
		case len(fields) == 0:
		case len(fields) != 2 || strings.TrimSpace(reason) == "":
			return nil, fmt.Errorf("line %d: want `package test # reason`, got %q", n, lines.Text())
		default:
			declared[test{fields[0], fields[1]}] = true
		}
	}
	return declared, lines.Err()
}

func readSkips(r io.Reader) ([]test, error) {
	var skipped []test
	events := json.NewDecoder(r)
	for {
		var e struct {
			Action string
			test
		}
		if err := events.Decode(&e); errors.Is(err, io.EOF) {
			return skipped, nil
		} else if err != nil {
			return nil, err
		}
		// Without a test it is a package that has none.
		if e.Action == "skip" && e.Test != "" {
			skipped = append(skipped, e.test)
		}
	}
}
