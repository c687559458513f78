package main

import (
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// place is a test and whether it ran in the virtual machine.
type place struct {
	test
	machine bool
}

// elsewhere is the same test outside the machine, or in it.
func (p place) elsewhere() place { return place{p.test, !p.machine} }

type skip struct {
	place
	forVLAN bool // for want of VLANs in the kernel
}

type results struct {
	skipped []skip
	passed  map[place]bool
}

func readResults(r io.Reader) (results, error) {
	found := results{passed: map[place]bool{}}
	forVLAN := map[place]bool{}
	events := json.NewDecoder(r)
	for {
		var e struct {
			Action, Output string
			test
		}
		if err := events.Decode(&e); errors.Is(err, io.EOF) {
			return found, nil
		} else if err != nil {
			return found, err
		}
		if e.Test == "" {
			continue // a package; a skip of one says that it has no tests
		}
		at := placeOf(e.test)
		switch e.Action {
		case "output":
			if strings.HasSuffix(strings.TrimSpace(e.Output), ": "+rtnltest.NoVLAN) {
				forVLAN[at] = true
			}
		case "pass":
			found.passed[at] = true
		case "skip":
			found.skipped = append(found.skipped, skip{at, forVLAN[at]})
		}
	}
}

// placeOf takes off the package what integration/vm/vlantests put behind it.
func placeOf(t test) place {
	path, _, machine := strings.Cut(t.Package, " [VM ")
	return place{test{path, t.Test}, machine}
}
