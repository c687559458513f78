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

// short is a Shortfall about these rules, with what to do by hand.
func (c *chain) short(left []acceptance, err error) error {
	command := strings.Replace(c.command, "tables", "tables-"+string(c.backend), 1)
	var what, byHand []string
	for _, a := range left {
		verb := "-D " + forwardChain
		switch {
		case !c.wants(a):
			what = append(what, "a rule of ours is left in iptables' FORWARD")
		case a.routed:
			verb = "-A " + forwardChain
			what = append(what, a.device+": iptables' FORWARD drops, or may drop, what Pods ask Services for")
		default:
			verb = "-I " + forwardChain + " 1"
			what = append(what, a.device+": bridged frames pass iptables' FORWARD, whose rules or policy may drop them")
		}
		byHand = append(byHand, fmt.Sprintf("%s -w %s %s", command, verb, strings.Join(a.words(), " ")))
	}
	return &Shortfall{
		What: strings.Join(slices.Compact(what), "; "),
		Err:  &ByHandError{strings.Join(byHand, " && "), err},
	}
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
func (c *chain) run(fn func(*program) error) error {
	path, ok := c.path()
	if !ok {
		return errNoProgram
	}
	lock, err := lockFile(c.lockDir)
	if err != nil {
		return err
	}
	// go-iptables runs it in our environment.
	if err := os.Setenv("XTABLES_LOCKFILE", lock); err != nil {
		return fmt.Errorf("iptables' lock: %w", err)
	}
	return c.h.Do(func() error {
		tables, err := iptables.New(iptables.IPFamily(c.proto), iptables.Path(path), iptables.Timeout(lockWait))
		if err != nil {
			return err
		}
		return fn(&program{tables})
	})
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
func (c *chain) path() (string, bool) {
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

// notes: see chain.notes. drops: the policy is to drop.
func (p *program) notes() (notes []string, drops bool, err error) {
	lines, err := p.List(forwardTable, forwardChain)
	if err != nil {
		return nil, false, err
	}
	for _, line := range lines {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "-A" {
			drops = drops || slices.Equal(words, []string{"-P", forwardChain, "DROP"})
			continue
		}
		ours := ""
		for _, w := range words {
			if w = strings.Trim(w, `"`); strings.HasPrefix(w, notePrefix) {
				ours = w
			}
		}
		notes = append(notes, ours)
	}
	return notes, drops, nil
}

// settle puts the new rule before it takes the others away: no packet meets
// neither.
func (p *program) settle(a acceptance, wanted bool) error {
	var err error
	switch {
	case wanted && a.routed:
		err = p.Append(forwardTable, forwardChain, a.words()...)
	case wanted:
		err = p.Insert(forwardTable, forwardChain, 1, a.words()...)
	}
	if err != nil {
		return err
	}
	notes, _, err := p.notes()
	if err != nil {
		return err
	}
	keep := -1
	if wanted && a.routed {
		keep = len(notes) - 1
	} else if wanted {
		keep = 0
	}
	for i, note := range slices.Backward(notes) {
		if i == keep || note != a.note {
			continue
		}
		if err := p.DeleteById(forwardTable, forwardChain, i+1); err != nil {
			return err
		}
	}
	return nil
}
