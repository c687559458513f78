package leg

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/coreos/go-iptables/iptables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// family is IPv4 or IPv6, as iptables sees it.
type family struct {
	proto   iptables.Protocol
	nfproto byte
	// command is the program's name; sysctl shows it bridged frames.
	command, sysctl string
	// tables is the file of /proc/net with the tables of the legacy backend, module
	// that of its FORWARD.
	tables, module string
}

func families() []family {
	return []family{
		{iptables.ProtocolIPv4, unix.NFPROTO_IPV4, "iptables", "bridge-nf-call-iptables", "ip_tables_names", "iptable_filter"},
		{iptables.ProtocolIPv6, unix.NFPROTO_IPV6, "ip6tables", "bridge-nf-call-ip6tables", "ip6_tables_names", "ip6table_filter"},
	}
}

// The chain that we look at, in both backends.
const (
	forwardTable = "filter"
	forwardChain = "FORWARD"
)

// chain is FORWARD of a family in one of the backends of iptables. A packet
// passes those of both: what one accepts, the other may drop.
type chain struct {
	forward
	family
	backend backend
	conn    *netlink.Conn
}

type backend string

const (
	nft    backend = "nft"
	legacy backend = "legacy"
)

// chains returns the family's FORWARD of each backend that has one.
func (f forward) chains(conn *netlink.Conn, fam family) ([]chain, error) {
	var found []chain
	has, err := hasChain(conn, fam.nfproto, forwardTable, forwardChain)
	if err != nil {
		return nil, err
	}
	if has {
		found = append(found, chain{f, fam, nft, conn})
	}
	has, err = f.hasLegacy(fam)
	if err != nil {
		return nil, err
	}
	if has {
		found = append(found, chain{f, fam, legacy, conn})
	}
	return found, nil
}

// hasLegacy tells whether the namespace has the table: to ask iptables would
// make it.
func (f forward) hasLegacy(fam family) (has bool, err error) {
	err = f.h.Do(func() error {
		names, err := os.ReadFile("/proc/thread-self/net/" + fam.tables)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil
		case errors.Is(err, os.ErrPermission):
			// podland is not root: at least without the module there is none.
			modules, _ := os.ReadFile("/proc/modules")
			has = bytes.HasPrefix(modules, []byte(fam.module+" ")) || bytes.Contains(modules, []byte("\n"+fam.module+" "))
			return nil
		}
		has = slices.Contains(strings.Fields(string(names)), forwardTable)
		return err
	})
	return has, err
}

// note is the comment by which the bridge's rule is known.
func note(bridge string) string { return notePrefix + bridge }

const notePrefix = "podlan:"

// notes are the rules' comments where they are ours, in the rules' order, ""
// for others'. nft's are read without the program, which every ADD would wait
// for.
func (c chain) notes() ([]string, error) {
	if c.backend == legacy {
		return c.run((*program).notes)
	}
	stand, err := listRules(c.conn, c.nfproto, forwardTable, forwardChain)
	var notes []string
	for _, r := range stand {
		notes = append(notes, noteIn(r.exprs, r.userdata))
	}
	return notes, err
}

// noteIn finds our comment in a rule: in the expression that is iptables'
// match "comment", or in what nft keeps beside the rule.
func noteIn(places ...[]byte) string {
	for _, b := range places {
		if i := bytes.Index(b, []byte(notePrefix)); i >= 0 {
			text, _, _ := bytes.Cut(b[i:], []byte{0})
			return string(text)
		}
	}
	return ""
}

// settled tells whether each bridge's rule stands before all that are not ours,
// once, or is absent. A *Shortfall if that cannot be known, or be changed.
func (c chain) settled(wanted bool, bridges ...string) (bool, error) {
	if len(bridges) == 0 {
		return true, nil
	}
	notes, err := c.notes()
	if err != nil {
		return false, c.short(bridges[0], wanted, err)
	}
	i := slices.IndexFunc(bridges, func(b string) bool { return !isSettled(notes, b, wanted) })
	if i < 0 {
		return true, nil
	}
	if _, ok := c.path(); !ok {
		return false, c.short(bridges[i], wanted, errNoProgram)
	}
	return false, nil
}

func isSettled(notes []string, bridge string, wanted bool) bool {
	if !wanted {
		return !slices.Contains(notes, note(bridge))
	}
	others := slices.Index(notes, "")
	if others < 0 {
		others = len(notes)
	}
	return slices.Contains(notes[:others], note(bridge)) && !slices.Contains(notes[others:], note(bridge))
}

// settle puts the bridge's rule first, or takes it away.
func (c chain) settle(bridge string, wanted bool) error {
	settled, err := c.settled(wanted, bridge)
	if err != nil || settled {
		return err
	}
	_, err = c.run(func(p *program) ([]string, error) { return nil, p.settle(bridge, wanted) })
	if err != nil {
		return c.short(bridge, wanted, err)
	}
	if settled, err = c.settled(wanted, bridge); err != nil || settled {
		return err
	}
	return c.short(bridge, wanted, errors.New("the rules are as before, although iptables has changed them"))
}

func hasChain(conn *netlink.Conn, family byte, table, chain string) (bool, error) {
	question, err := request(family, unix.NFT_MSG_GETCHAIN, 0, func(ae *encoder) {
		ae.String(unix.NFTA_CHAIN_TABLE, table)
		ae.String(unix.NFTA_CHAIN_NAME, chain)
	})
	if err != nil {
		return false, err
	}
	_, err = conn.Execute(question)
	// Also a kernel without nf_tables, or without it for the family.
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return false, nil
	}
	return err == nil, err
}
