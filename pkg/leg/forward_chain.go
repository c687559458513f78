package leg

import (
	"bytes"
	"errors"
	"slices"

	"github.com/coreos/go-iptables/iptables"
	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/nft"
)

// family is IPv4 or IPv6, as iptables sees it.
type family struct {
	proto   iptables.Protocol
	nfproto byte
	// command is the program's name; sysctl shows it bridged frames.
	command, sysctl string
	// tables is the file of /proc/net with the tables of the legacy backend.
	tables string
}

func families() []family {
	return []family{
		{iptables.ProtocolIPv4, unix.NFPROTO_IPV4, "iptables", "bridge-nf-call-iptables", "ip_tables_names"},
		{iptables.ProtocolIPv6, unix.NFPROTO_IPV6, "ip6tables", "bridge-nf-call-ip6tables", "ip6_tables_names"},
	}
}

// table is iptables' in nftables.
func (f family) table() nft.Table { return nft.Table{Family: f.nfproto, Name: forwardTable} }

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
	conn    *nft.Conn
	// bridged: frames that are merely bridged pass it.
	bridged bool
	// drops: its policy is to drop.
	drops bool
	// leaves: none of ours is wanted.
	leaves bool
}

type backend string

const (
	tables backend = "nft"
	legacy backend = "legacy"
)

// chains returns the family's FORWARD of each backend that has one.
func (f forward) chains(conn *nft.Conn, fam family) ([]chain, error) {
	bridged, err := passes(f.h, fam)
	if err != nil {
		return nil, err
	}
	var found []chain
	has, drops, err := askChain(conn, fam.table(), forwardChain)
	if err != nil {
		return nil, err
	}
	if has {
		found = append(found, chain{forward: f, family: fam, backend: tables, conn: conn, bridged: bridged, drops: drops})
	}
	has, err = f.hasLegacy(fam)
	if err != nil {
		return nil, err
	}
	if has {
		found = append(found, chain{forward: f, family: fam, backend: legacy, conn: conn, bridged: bridged})
	}
	return found, nil
}

const notePrefix = "podlan:"

// notes are the rules' comments where they are ours, in the rules' order, ""
// for others'. nft's are read without the program, which every ADD would wait
// for; with the program, the policy is read too.
func (c *chain) notes() (notes []string, err error) {
	if c.backend == legacy {
		err = c.run(func(p *program) error {
			notes, c.drops, err = p.notes()
			return err
		})
		return notes, err
	}
	stand, err := c.conn.Rules(c.table(), forwardChain)
	for _, r := range stand {
		notes = append(notes, noteIn(r.Exprs, r.UserData))
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

// wants tells whether the rule is to stand. Legs serve IPv4 only.
func (c *chain) wants(a acceptance) bool {
	if a.routed {
		return !c.leaves && c.drops && c.nfproto == unix.NFPROTO_IPV4
	}
	return !c.leaves && c.bridged
}

// unsettled are those of the rules that do not stand as they are to, or that
// stand and are not to. A *Shortfall if that cannot be known, or be changed.
func (c *chain) unsettled(all []acceptance) (left []acceptance, err error) {
	if len(all) == 0 {
		return nil, nil
	}
	notes, err := c.notes()
	if err != nil {
		return c.unknown(all, err)
	}
	for _, a := range all {
		if !a.isSettled(notes, c.wants(a)) {
			left = append(left, a)
		}
	}
	if len(left) == 0 || c.backend == legacy {
		return left, nil
	}
	// Whether it could be otherwise: CHECK is not to fail for what ADD warned of.
	err = c.run(func(p *program) error {
		_, _, err := p.notes()
		return err
	})
	if err != nil {
		return left, c.short(left, err)
	}
	return left, nil
}

// unknown is what may lack where the rules cannot be read: the policy may be to
// drop.
func (c *chain) unknown(all []acceptance, err error) ([]acceptance, error) {
	c.drops = true
	left := slices.DeleteFunc(slices.Clone(all), func(a acceptance) bool { return !c.leaves && !c.wants(a) })
	if len(left) == 0 {
		return nil, nil
	}
	return left, c.short(left, err)
}

// settle puts what is wanted and lacks, and takes away what is not.
func (c *chain) settle(all []acceptance) error {
	left, err := c.unsettled(all)
	if err != nil || len(left) == 0 {
		return err
	}
	err = c.run(func(p *program) error {
		for _, a := range left {
			if err := p.settle(a, c.wants(a)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return c.short(left, err)
	}
	if left, err = c.unsettled(all); err != nil || len(left) == 0 {
		return err
	}
	return c.short(left, errors.New("the rules are as before, although iptables has changed them"))
}

// askChain tells whether there is the chain, and whether its policy is to drop.
func askChain(conn *nft.Conn, t nft.Table, chain string) (has, drops bool, err error) {
	const drop = 0 // NF_DROP
	err = conn.Ask("chain "+chain, t.Family, unix.NFT_MSG_GETCHAIN, 0, func(ae *nft.Encoder) {
		ae.String(unix.NFTA_CHAIN_TABLE, t.Name)
		ae.String(unix.NFTA_CHAIN_NAME, chain)
	}, func(ad *nft.Decoder) error {
		for has = true; ad.Next(); {
			if ad.Type() == unix.NFTA_CHAIN_POLICY {
				drops = ad.Uint32() == drop
			}
		}
		return nil
	})
	// A kernel without nf_tables, or without it for the family.
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return false, false, nil
	}
	return has, drops, err
}
