package guard

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/podlan/podlan/pkg/nft"
)

// Intact tells whether the table's rules stand, in their order and with no
// others, and the elements of these ports. It is cheap: one dump of each set.
// Without ports, no table is as good. Elements that are not of these ports are
// no matter, since an ADD may be under way.
func (g *Guard) Intact(ctx context.Context, ports []Port) (bool, error) {
	for _, p := range ports {
		if err := p.check(); err != nil {
			return false, err
		}
	}
	intact := false
	err := g.locked(ctx, func(s *session) (err error) {
		intact, err = s.intact(ports)
		return err
	})
	return intact, err
}

// Restore installs the table anew if it is not intact, and tells whether it
// did. wanted is asked under the lock that Add takes too. A port that has notes
// is restored as they say, since its record may be on its way; the others, as
// wanted has them. What wanted does not know stays if it has notes.
func (g *Guard) Restore(ctx context.Context, wanted func() ([]Port, error)) (restored bool, err error) {
	err = g.locked(ctx, func(s *session) error {
		ports, err := wanted()
		if err != nil {
			return err
		}
		stood, err := s.ports()
		if err != nil {
			return err
		}
		ports = merge(stood, ports)
		if intact, err := s.intact(ports); err != nil || intact {
			return err
		}
		restored = true
		return s.batch(func(b *nft.Batch) { install(b, all(ports)) })
	})
	return restored && err == nil, err
}

// merge returns the ports of both, those of the first where both have one.
func merge(stood, wanted []Port) []Port {
	byName := make(map[string]Port)
	for _, p := range slices.Concat(wanted, stood) {
		if p.check() == nil {
			byName[p.Name] = p
		}
	}
	return slices.Collect(maps.Values(byName))
}

func (s *session) intact(ports []Port) (bool, error) {
	exists, awake, err := s.conn.Table(table())
	if err != nil || !exists {
		return err == nil && len(ports) == 0, err
	}
	rules, err := s.conn.Rules(table(), "")
	if err != nil || !awake || !slices.Equal(standing(rules), places()) {
		return false, err
	}
	missing := make(map[string]map[string]element) // by set and key
	for _, p := range ports {
		for _, e := range p.elements() {
			if missing[e.set] == nil {
				missing[e.set] = make(map[string]element)
			}
			missing[e.set][e.Key] = e
		}
	}
	return s.complete(missing)
}

// complete tells whether all these elements stand.
func (s *session) complete(missing map[string]map[string]element) (bool, error) {
	for set, els := range missing {
		stand, err := s.conn.Elements(table(), set)
		if err != nil {
			return false, err
		}
		for _, e := range stand {
			if e.Note == els[e.Key].Note {
				delete(els, e.Key)
			}
		}
		// A set that grows under a dump leaves elements out: ask again.
		for _, e := range els {
			if one, ok, err := s.element(e); err != nil || !ok || one.Note != e.Note {
				return false, err
			}
		}
	}
	return true, nil
}

// place is where a rule stands: its chain and its note.
type place [2]string

// places are those of all rules, in the kernel's order: by chain, and in it as
// they were added.
func places() []place {
	var all []place
	for _, r := range placed() {
		all = append(all, place{r.Chain, r.Note})
	}
	return byChain(all)
}

// standing are the places of rules that stand.
func standing(rules []nft.StandingRule) []place {
	var all []place
	for _, r := range rules {
		all = append(all, place{r.Chain, r.Note})
	}
	return byChain(all)
}

func byChain(all []place) []place {
	slices.SortStableFunc(all, func(a, b place) int { return cmp.Compare(a[0], b[0]) })
	return all
}
