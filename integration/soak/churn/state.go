package churn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/podlan/podlan/integration/bench/machine"
	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// State is what coming and going Pods must leave as it was.
type State struct {
	// Node has the links, addresses, routes, neighbours and the guard's rules
	// and elements; Pods the same of the namespaces where Pods come and go.
	Node lab.Snapshot
	Pods []lab.Snapshot
	// Leases are podland's, Server those of the DHCP server, Files podland's
	// and the plugins' in the state folder.
	Leases, Server, Files []string
	// Usage is podland's, Descriptors and Namespaces are counts by kind and of
	// the network namespaces that podland keeps alive.
	Usage       machine.Usage
	Descriptors map[string]int
	Namespaces  int
}

// State looks at everything.
func (a *Arena) State(ctx context.Context) (State, error) {
	var s State
	var err error
	if s.Leases, err = a.leases(ctx); err != nil {
		return s, err
	}
	for _, l := range a.Server.ActiveLeases() {
		s.Server = append(s.Server, l.Addr.String()+" "+l.MAC)
	}
	slices.Sort(s.Server)
	if s.Files, err = a.Node.StateFiles(); err != nil {
		return s, err
	}
	if s.Node, err = a.Node.TakeSnapshot(); err != nil {
		return s, err
	}
	for _, p := range a.pods {
		pod, err := p.TakeSnapshot()
		if err != nil {
			return s, err
		}
		s.Pods = append(s.Pods, pod)
	}
	return s, process(a.Node.Podland().PID(), &s)
}

func (a *Arena) leases(ctx context.Context) ([]string, error) {
	list, err := a.Podland().List(ctx)
	if err != nil {
		return nil, err
	}
	lines := make([]string, len(list))
	for i, l := range list {
		lines[i] = fmt.Sprintf("%s %s %s %s", l.Key, l.Address, l.MAC, l.State)
	}
	return lines, nil
}

// process asks the kernel about podland.
func process(pid int, s *State) (err error) {
	if s.Usage, err = machine.UsageOf(pid); err != nil {
		return err
	}
	s.Descriptors = map[string]int{}
	spaces := map[string]bool{}
	proc := fmt.Sprintf("/proc/%d/", pid)
	for _, pattern := range []string{"fd/*", "task/*/ns/net"} {
		paths, err := filepath.Glob(proc + pattern)
		if err != nil {
			return err
		}
		for _, path := range paths {
			target, err := os.Readlink(path)
			if err != nil {
				continue // closed since
			}
			kind, _, _ := strings.Cut(target, ":[")
			if kind == "net" {
				spaces[target] = true
			}
			if pattern == "fd/*" {
				s.Descriptors[kind]++
			}
		}
	}
	s.Namespaces = len(spaces)
	return nil
}

// Only tells whether the Pods that stay have leases, on both sides, and nobody
// else. Leases may be under way to T2.
func (a *Arena) Only(ctx context.Context) error {
	list, err := a.Podland().List(ctx)
	if err != nil {
		return err
	}
	var errs []error
	if len(list) != len(a.Held) {
		errs = append(errs, fmt.Errorf("podland holds %d leases, want %d", len(list), len(a.Held)))
	}
	states := []leaseapi.State{leaseapi.StateBound, leaseapi.StateRenewing}
	for _, h := range a.Held {
		i := slices.IndexFunc(list, func(l leaseapi.Lease) bool { return l.Key == h.Key() })
		if i < 0 || list[i].Address.Addr() != h.Addr || !slices.Contains(states, list[i].State) {
			errs = append(errs, fmt.Errorf("podland does not hold %s for %s", h.Addr, h.Pod.Name()))
		}
	}
	granted := a.Server.ActiveLeases()
	for _, l := range granted {
		if !slices.ContainsFunc(a.Held, func(h Held) bool { return h.MAC == l.MAC }) {
			errs = append(errs, fmt.Errorf("the server still holds %s for %s", l.Addr, l.MAC))
		}
	}
	files, err := a.Node.StateFiles()
	files = slices.DeleteFunc(files, func(f string) bool { return !strings.HasPrefix(f, "leases/") || !strings.HasSuffix(f, ".json") })
	if len(files) != len(a.Held) { // a released one's stays until the server has been told thrice
		err = errors.Join(err, fmt.Errorf("podland has %d lease files, want %d", len(files), len(a.Held)))
	}
	return errors.Join(append(errs, err, a.Granted(granted))...)
}

// Granted tells whether the Pods that stay have exactly their addresses by the
// server's word.
func (a *Arena) Granted(granted []lab.Lease) error {
	var errs []error
	for _, h := range a.Held {
		var has []string
		for _, l := range granted {
			if l.MAC == h.MAC {
				has = append(has, l.Addr.String())
			}
		}
		if !slices.Equal(has, []string{h.Addr.String()}) {
			errs = append(errs, fmt.Errorf("the server has granted %s %v, want %s", h.MAC, has, h.Addr))
		}
	}
	return errors.Join(errs...)
}
