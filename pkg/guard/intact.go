package guard

import (
	"context"
	"maps"
	"slices"

	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
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
		stood, err := s.ask.standing()
		if err != nil {
			return err
		}
		ports = merge(stood, ports)
		if intact, err := s.intact(ports); err != nil || intact {
			return err
		}
		restored = true
		return s.batch(func(b *batch) { b.install(all(ports)) })
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
	exists, awake, err := s.ask.table()
	if err != nil || !exists {
		return err == nil && len(ports) == 0, err
	}
	stand, err := s.ask.rules()
	if err != nil || !awake || !slices.Equal(stand, places()) {
		return false, err
	}
	missing := make(map[string]map[string]element) // by set and key
	for _, p := range ports {
		for _, e := range p.elements() {
			if missing[e.set] == nil {
				missing[e.set] = make(map[string]element)
			}
			missing[e.set][e.key] = e
		}
	}
	return s.complete(missing)
}

// complete tells whether all these elements stand.
func (s *session) complete(missing map[string]map[string]element) (bool, error) {
	for set, els := range missing {
		stand, err := s.ask.elements(set)
		if err != nil {
			return false, err
		}
		for _, e := range stand {
			if e.note == els[e.key].note {
				delete(els, e.key)
			}
		}
		// A set that grows under a dump leaves elements out: ask again.
		for _, e := range els {
			if one, ok, err := s.ask.element(e.set, e.key); err != nil || !ok || one.note != e.note {
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
		all = append(all, place{r.chain, r.note})
	}
	return byChain(all)
}

func byChain(all []place) []place {
	slices.SortStableFunc(all, func(a, b place) int {
		switch {
		case a[0] < b[0]:
			return -1
		case a[0] > b[0]:
			return 1
		}
		return 0
	})
	return all
}

// table tells whether there is the table, and whether its chains are called.
func (a asker) table() (exists, awake bool, err error) {
	const dormant = 1 // NFT_TABLE_F_DORMANT
	err = a.ask("the table", unix.NFT_MSG_GETTABLE, 0, func(ae *encoder) {
		ae.String(unix.NFTA_TABLE_NAME, tableName)
	}, func(ad *netlink.AttributeDecoder) error {
		exists, awake = true, true
		for ad.Next() {
			if ad.Type() == unix.NFTA_TABLE_FLAGS {
				awake = ad.Uint32()&dormant == 0
			}
		}
		return nil
	})
	return exists, awake, err
}

// rules asks where all rules of the table stand.
func (a asker) rules() ([]place, error) {
	var all []place
	err := a.ask("the rules", unix.NFT_MSG_GETRULE, netlink.Dump, func(ae *encoder) {
		ae.String(unix.NFTA_RULE_TABLE, tableName)
	}, func(ad *netlink.AttributeDecoder) error {
		var p place
		for ad.Next() {
			switch ad.Type() {
			case unix.NFTA_RULE_CHAIN:
				p[0] = ad.String()
			case unix.NFTA_RULE_USERDATA:
				p[1], _ = userdata.GetString(ad.Bytes(), userdata.TypeComment)
			}
		}
		all = append(all, p)
		return nil
	})
	return byChain(all), err
}
