package guard

import "context"

// Drops returns how many frames were dropped, by the kind of reason, none
// without a table. They begin anew with it.
func (g *Guard) Drops(ctx context.Context) (map[string]uint64, error) {
	var drops map[string]uint64
	err := g.open(func(s *session) (err error) {
		if drops, err = s.conn.Counters(table()); err != nil {
			return err
		}
		return ctx.Err()
	})
	return drops, err
}

// DropsByPort returns how many frames were dropped of what each port sent, or
// of what was sent to it, by the kind of reason, for every kind. They begin anew
// with Add of a port that was closed. A kernel before Linux 5.7 counts none.
func (g *Guard) DropsByPort(ctx context.Context) (map[string]map[string]uint64, error) {
	drops := make(map[string]map[string]uint64)
	err := g.open(func(s *session) error {
		els, err := s.conn.Elements(table(), setDrops)
		if err != nil {
			return err
		}
		kinds := counters()
		for _, e := range els {
			name, kind := splitKey(e.Key)
			if kind >= len(kinds) {
				continue
			}
			if drops[name] == nil {
				drops[name] = make(map[string]uint64, len(kinds))
			}
			drops[name][kinds[kind]] = e.Packets
		}
		return ctx.Err()
	})
	return drops, err
}
