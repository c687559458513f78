// Package lab builds a LAN out of network namespaces: a switch, a DHCP server,
// hosts, nodes with an uplink and podland in them, Pods. It reads like a
// description of a network; what it builds vanishes with the process that
// built it, however that ends.
//
//	l := lab.New(t, lab.Options{Server: lab.Dnsmasq})
//	client := l.Host("client")
//	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
//	node.StartPodland()
//	pod := node.Pod("p1")
//	result, err := node.Add(ctx, conf, pod)
//
// It writes to nothing outside of its namespaces and its folder below the
// temporary folder (with Options.Named also to /run/netns). Methods that build
// end the test where they fail, those that are given a test that one; methods that
// a test may want to see fail return an error.
package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// TB is what the lab needs of a test. testing.TB has it; Run brings its own.
type TB interface {
	Helper()
	Name() string
	Context() context.Context
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
	Cleanup(f func())
}

// Lab is one LAN. Building is for one goroutine; what was built is safe for
// concurrent use as far as its own documentation says.
type Lab struct {
	tb     TB
	opts   Options
	plan   plan
	dir    string
	folder *folder
	fds    *fdNumbers
	forker *forker
	sw     *lanSwitch
	server *Server

	mu      sync.Mutex
	closers []func()
	nodes   []*Node
	used    map[string]bool
}

// New builds a LAN with its switch and, unless Options.Server is None, its
// DHCP server. The test's cleanup takes all of it down.
func New(tb TB, opts Options) *Lab {
	tb.Helper()
	opts, err := opts.complete()
	if err != nil {
		tb.Fatalf("lab: %v", err)
	}
	l := &Lab{tb: tb, opts: opts, plan: newPlan(opts), used: map[string]bool{}}
	tb.Cleanup(l.close)
	if err := l.build(); err != nil {
		tb.Fatalf("lab: %v", err)
	}
	return l
}

func (l *Lab) build() error {
	sweepFolders()
	folder, err := newFolder()
	if err != nil {
		return err
	}
	l.dir = folder.path
	l.folder = folder
	l.onClose(folder.remove)
	if l.fds, err = newFDNumbers(); err != nil {
		return err
	}
	l.forker = newForker()
	l.onClose(l.forker.close)
	if l.sw, err = l.newSwitch(); err != nil {
		return fmt.Errorf("switch: %w", err)
	}
	if l.opts.Server == None {
		return nil
	}
	l.server, err = l.newLANServer()
	return err
}

// Server returns the LAN's DHCP server, nil where the lab was built with None.
func (l *Lab) Server() *Server { return l.server }

// Subnet returns the LAN's IPv4 prefix.
func (l *Lab) Subnet() netip.Prefix { return l.opts.Subnet.Masked() }

// Dir returns the lab's own folder, which vanishes with it.
func (l *Lab) Dir() string { return l.dir }

// subdir makes a folder below the lab's own.
func (l *Lab) subdir(parts ...string) (string, error) {
	dir := filepath.Join(append([]string{l.dir}, parts...)...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("folder: %w", err)
	}
	return dir, nil
}

// take reserves a name for a namespace.
func (l *Lab) take(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if name == "" || l.used[name] {
		return fmt.Errorf("name %q: it must be new in the lab", name)
	}
	l.used[name] = true
	return nil
}

// onClose has f called when the lab is taken down, the last one first.
func (l *Lab) onClose(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closers = append(l.closers, f)
}

func (l *Lab) close() {
	if l.tb.Failed() {
		l.tellLogs()
	}
	l.mu.Lock()
	closers := l.closers
	l.closers = nil
	l.mu.Unlock()
	for _, f := range slices.Backward(closers) {
		f()
	}
}

// tellLogs prints what a person needs to understand a failure.
func (l *Lab) tellLogs() {
	if l.server != nil {
		l.tb.Logf("DHCP server %s:\n%s", l.server.Kind(), tail(l.server.Log(), 200))
	}
	l.mu.Lock()
	nodes := l.nodes
	l.mu.Unlock()
	for _, n := range nodes {
		if log := n.PodlandLog(); log != "" {
			l.tb.Logf("podland on %s:\n%s", n.Name(), tail(log, 300))
		}
		if log := n.PluginLog(); log != "" {
			l.tb.Logf("plugins on %s:\n%s", n.Name(), tail(log, 200))
		}
	}
}
