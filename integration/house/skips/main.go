// Command skips fails when a test ran nowhere that the list does not name: it
// reads the list and a file of test2json events and touches nothing.
//
//	skips LIST EVENTS
//
// A line of the list is `package test # reason`; the test covers its subtests.
// Beyond the list, a test may skip for want of VLANs in the kernel if it passed
// in the virtual machine (integration/vm/vlantests) in the same run, and in the
// machine, whose kernel is older, if it passed outside.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
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

// listed tells whether the list has the test or its parent.
func (t test) listed(declared map[test]bool) bool {
	parent, _, _ := strings.Cut(t.Test, "/")
	return declared[t] || declared[test{t.Package, parent}]
}

func run(list, events string) error {
	declared, err := readFile(list, readList)
	if err != nil {
		return err
	}
	results, err := readFile(events, readResults)
	if err != nil {
		return err
	}
	var bad []error
	for _, s := range results.skipped {
		switch {
		case s.listed(declared) || results.passed[s.elsewhere()] && (s.machine || s.forVLAN):
		case s.forVLAN:
			bad = append(bad, fmt.Errorf("skipped, and did not pass in the virtual machine: %s %s: %s", s.Package, s.Test, rtnltest.NoVLAN))
		case s.machine:
			bad = append(bad, fmt.Errorf("skipped in the virtual machine, and did not pass outside: %s %s", s.Package, s.Test))
		default:
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
