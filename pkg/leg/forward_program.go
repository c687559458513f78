package leg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coreos/go-iptables/iptables"

	"github.com/podlan/podlan/pkg/statefile"
)

// ByHandError is why a rule of FORWARD is not as Podlan wants it.
type ByHandError struct {
	// Command is what an administrator may run instead.
	Command string
	Err     error
}

func (e *ByHandError) Error() string { return fmt.Sprintf("%s; by hand: %s", e.Err, e.Command) }

func (e *ByHandError) Unwrap() error { return e.Err }

// short is a Shortfall with what to do by hand; nil for no error.
func (c chain) short(bridge string, wanted bool, err error) error {
	if err == nil {
		return nil
	}
	verb, what := "-I "+forwardChain+" 1", "bridge %s: bridged frames pass iptables' FORWARD, whose rules or policy may drop them"
	if !wanted {
		verb, what = "-D "+forwardChain, "bridge %s: our rule is left in iptables' FORWARD"
	}
	command := strings.Replace(c.command, "tables", "tables-"+string(c.backend), 1)
	byHand := fmt.Sprintf("%s -w %s %s", command, verb, strings.Join(acceptance(bridge), " "))
	return &Shortfall{What: fmt.Sprintf(what, bridge), Err: &ByHandError{byHand, err}}
}

// acceptance is the bridge's rule.
func acceptance(bridge string) []string {
	return []string{"-i", bridge, "-m", "physdev", "--physdev-is-bridged", "-m", "comment", "--comment", note(bridge), "-j", "ACCEPT"}
}

// program is iptables or ip6tables of one backend.
type program struct{ *iptables.IPTables }

// errNoProgram: podland and the plugin look in PATH and where such programs
// usually are.
var errNoProgram = errors.New("there is no iptables of this backend")

// lockWait is how long the program waits for another that changes the legacy
// backend's rules, in seconds.
const lockWait = 5

// run calls fn with the backend's program, in the namespace.
func (c chain) run(fn func(*program) ([]string, error)) (out []string, err error) {
	path, ok := c.path()
	if !ok {
		return nil, errNoProgram
	}
	lock, err := lockFile(c.lockDir)
	if err != nil {
		return nil, err
	}
	// go-iptables runs it in our environment.
	if err := os.Setenv("XTABLES_LOCKFILE", lock); err != nil {
		return nil, fmt.Errorf("iptables' lock: %w", err)
	}
	err = c.h.Do(func() error {
		tables, err := iptables.New(iptables.IPFamily(c.proto), iptables.Path(path), iptables.Timeout(lockWait))
		if err != nil {
			return err
		}
		out, err = fn(&program{tables})
		return err
	})
	return out, err
}

// lockFile is the machine's, where this process may open it: the legacy backend
// replaces a table as a whole, and would undo what another does meanwhile. Else
// one of our own: podland is not root.
func lockFile(dir string) (string, error) {
	const machines, ours = "/run/xtables.lock", "xtables.lock"
	if f, err := os.OpenFile(machines, os.O_RDWR, 0); err == nil {
		return machines, f.Close()
	}
	// Made here, so that it is podland's whoever comes first.
	lock, err := statefile.TryAcquire(dir, ours)
	if err == nil {
		lock.Release()
	} else if !errors.Is(err, statefile.ErrLocked) {
		return "", err
	}
	return filepath.Join(dir, ours), nil
}

// path finds the program, which is called by its backend's name or, as the
// distribution or its administrator has chosen, by the plain one.
func (c chain) path() (string, bool) {
	for _, name := range []string{c.command + "-" + string(c.backend), c.command} {
		for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
			path := filepath.Join(dir, name)
			target, err := filepath.EvalSymlinks(path)
			if err == nil && filepath.IsAbs(path) && serves(filepath.Base(target), c.backend) {
				return path, true
			}
		}
	}
	return "", false
}

// serves tells whether a program of this name is of the backend. Before there
// were two, there was the legacy one.
func serves(name string, b backend) bool {
	if strings.Contains(name, string(b)) {
		return true
	}
	return b == legacy && slices.Contains([]string{"iptables", "ip6tables", "xtables-multi"}, name)
}

// notes: see chain.notes.
func (p *program) notes() ([]string, error) {
	lines, err := p.List(forwardTable, forwardChain)
	if err != nil {
		return nil, err
	}
	var notes []string
	for _, line := range lines {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "-A" {
			continue // the policy
		}
		ours := ""
		for _, w := range words {
			if w = strings.Trim(w, `"`); strings.HasPrefix(w, notePrefix) {
				ours = w
			}
		}
		notes = append(notes, ours)
	}
	return notes, nil
}

// settle puts the new rule before it takes the others away: no frame meets
// neither.
func (p *program) settle(bridge string, wanted bool) error {
	if wanted {
		if err := p.Insert(forwardTable, forwardChain, 1, acceptance(bridge)...); err != nil {
			return err
		}
	}
	notes, err := p.notes()
	if err != nil {
		return err
	}
	keep := 0
	if wanted {
		keep = 1
	}
	for i := len(notes) - 1; i >= keep; i-- {
		if notes[i] != note(bridge) {
			continue
		}
		if err := p.DeleteById(forwardTable, forwardChain, i+1); err != nil {
			return err
		}
	}
	return nil
}
