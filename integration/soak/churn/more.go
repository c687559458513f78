package churn

import (
	"errors"
	"fmt"

	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/integration/lab"
)

// more tells what after has that before has not.
func more(before, after State) error {
	var errs []error
	diff := func(what string, x, y any) {
		if d := cmp.Diff(x, y); d != "" {
			errs = append(errs, fmt.Errorf("%s:\n%s", what, d))
		}
	}
	diff("node", calm(before), calm(after))
	diff("namespaces of the Pods", before.Pods, after.Pods)
	diff("podland's leases", before.Leases, after.Leases)
	diff("the server's leases", before.Server, after.Server)
	diff("files of the state folder", before.Files, after.Files)
	for kind, n := range after.Descriptors {
		if n > before.Descriptors[kind] {
			errs = append(errs, fmt.Errorf("podland had %d descriptors of %s and has %d", before.Descriptors[kind], kind, n))
		}
	}
	if after.Namespaces > before.Namespaces {
		errs = append(errs, fmt.Errorf("podland held %d namespaces and holds %d", before.Namespaces, after.Namespaces))
	}
	if after.Usage.Threads > before.Usage.Threads+threadsMore {
		errs = append(errs, fmt.Errorf("podland had %d threads and has %d", before.Usage.Threads, after.Usage.Threads))
	}
	if after.Usage.RSS > before.Usage.RSS+memoryMore {
		errs = append(errs, fmt.Errorf("podland had %.1f MB resident and has %.1f MB", before.Usage.RSS, after.Usage.RSS))
	}
	return errors.Join(errs...)
}

// calm leaves out who listens: podland's socket on the uplink outlives its last
// use by a second, before as after.
func calm(s State) lab.Snapshot {
	links := make(map[string]lab.Link, len(s.Node.Links))
	for name, l := range s.Node.Links {
		l.Promiscuity = 0
		links[name] = l
	}
	s.Node.Links = links
	return s.Node
}
