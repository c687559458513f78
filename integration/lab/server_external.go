package lab

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/podlan/podlan/integration/debs"
)

// external is what the servers from Debian packages have in common: a process
// with a log in which it says when it is ready and what was released, and a
// database on disk.
type external struct {
	spec
	kind  ServerKind
	tool  debs.Tool
	args  []string
	env   []string
	ready string // in the log, when it serves
	// serving, if not nil, tells what the log does not.
	serving func() error
	// message finds a client's message in the log, groups "type" and "mac".
	message *regexp.Regexp
	// release finds an address and a MAC in the log, groups "ip" and "mac".
	release *regexp.Regexp
	// database are the files that hold the leases.
	database []string
	// empty writes the database of a server that never ran.
	empty func() error
	read  func() (holdings, error)

	process *Process
}

// holdings are what a server's database says.
type holdings struct {
	active   []Lease
	declined []netip.Addr
}

func newExternal(ctx context.Context, s spec, kind ServerKind, program string) (*external, error) {
	tool, err := debs.Find(ctx, program)
	if err != nil {
		return nil, err
	}
	return &external{spec: s, kind: kind, tool: tool}, nil
}

func (e *external) start(ctx context.Context) error {
	cmd := exec.Command(e.tool.Path, e.args...)
	cmd.Dir = e.dir
	cmd.Env = append(append(os.Environ(), e.tool.Env...), e.env...)
	p, err := e.lab.startProcess(e.ns, string(e.kind), cmd, e.path("log"))
	if err != nil {
		return err
	}
	e.process = p
	return p.awaitReady(ctx, func() error {
		if !strings.Contains(p.Log(), e.ready) {
			return fmt.Errorf("has not said %q", e.ready)
		}
		if e.serving != nil {
			return e.serving()
		}
		return nil
	})
}

func (e *external) stop(kill bool) error {
	if e.process == nil {
		return nil
	}
	if kill {
		e.process.Kill()
		return nil
	}
	return e.process.Stop()
}

// running returns the process, nil if there is none.
func (e *external) running() *Process {
	if e.process == nil || !e.process.Running() {
		return nil
	}
	return e.process
}

func (e *external) forget() error {
	if e.running() != nil {
		return errRunning
	}
	for _, path := range e.database {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("database: %w", err)
		}
	}
	if e.empty == nil {
		return nil
	}
	return e.empty()
}

// files are the database's.
func (e *external) files() []string { return e.database }

func (e *external) leases() ([]Lease, error) {
	db, err := e.read()
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	slices.SortFunc(db.active, func(a, b Lease) int { return a.Addr.Compare(b.Addr) })
	return db.active, nil
}

func (e *external) declined() ([]netip.Addr, error) {
	db, err := e.read()
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	slices.SortFunc(db.declined, netip.Addr.Compare)
	return db.declined, nil
}

// heard tells the clients' messages in the log. Kea names what it did about
// them, so one that it refused is not there.
func (e *external) heard() []message {
	kinds := map[string]dhcpv4.MessageType{
		"DISCOVER": dhcpv4.MessageTypeDiscover, "LEASE_ADVERT": dhcpv4.MessageTypeDiscover,
		"REQUEST": dhcpv4.MessageTypeRequest, "LEASE_ALLOC": dhcpv4.MessageTypeRequest,
		"DECLINE": dhcpv4.MessageTypeDecline, "DECLINE_LEASE": dhcpv4.MessageTypeDecline,
		"RELEASE": dhcpv4.MessageTypeRelease,
	}
	var heard []message
	kind, mac := e.message.SubexpIndex("type"), e.message.SubexpIndex("mac")
	for _, m := range e.message.FindAllStringSubmatch(e.log(), -1) {
		heard = append(heard, message{Type: kinds[m[kind]], MAC: m[mac]})
	}
	return heard
}

func (e *external) releases() ([]Release, error) {
	var releases []Release
	ip, mac := e.release.SubexpIndex("ip"), e.release.SubexpIndex("mac")
	for scan := bufio.NewScanner(strings.NewReader(e.log())); scan.Scan(); {
		m := e.release.FindStringSubmatch(scan.Text())
		if m == nil {
			continue
		}
		addr, err := parseAddr(m[ip])
		if err != nil {
			return nil, err
		}
		releases = append(releases, Release{Addr: addr, MAC: strings.ToLower(m[mac])})
	}
	return releases, nil
}

func (e *external) log() string {
	b, err := os.ReadFile(e.path("log"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// path returns a file in the server's folder.
func (e *external) path(name string) string { return filepath.Join(e.dir, name) }

func (e *external) write(name, text string) error {
	if err := os.WriteFile(e.path(name), []byte(text), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// readDatabase returns a database file, empty if there is none yet.
func (e *external) readDatabase(name string) (string, error) {
	b, err := os.ReadFile(e.path(name))
	if os.IsNotExist(err) {
		return "", nil
	}
	return string(b), err
}
