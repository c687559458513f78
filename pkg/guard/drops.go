package guard

import (
	"context"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Drops returns how many frames were dropped, by the kind of reason, none
// without a table. They begin anew with it.
func (g *Guard) Drops(ctx context.Context) (map[string]uint64, error) {
	drops := make(map[string]uint64)
	err := g.open(func(s *session) error {
		if err := s.ask.counters(drops); err != nil {
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
		els, err := s.ask.elements(setDrops)
		if err != nil {
			return err
		}
		kinds := counters()
		for _, e := range els {
			name, kind := splitKey(e.key)
			if kind >= len(kinds) {
				continue
			}
			if drops[name] == nil {
				drops[name] = make(map[string]uint64, len(kinds))
			}
			drops[name][kinds[kind]] = e.packets
		}
		return ctx.Err()
	})
	return drops, err
}

func (a asker) counters(into map[string]uint64) error {
	return a.ask("the counters", unix.NFT_MSG_GETOBJ, netlink.Dump, func(ae *encoder) {
		ae.String(unix.NFTA_OBJ_TABLE, tableName)
	}, func(ad *netlink.AttributeDecoder) error {
		name, n, counts := "", uint64(0), false
		for ad.Next() {
			switch ad.Type() {
			case unix.NFTA_OBJ_NAME:
				name = ad.String()
			case unix.NFTA_OBJ_TYPE:
				counts = ad.Uint32() == unix.NFT_OBJECT_COUNTER
			case unix.NFTA_OBJ_DATA:
				n = packets(ad)
			}
		}
		if counts {
			into[name] = n
		}
		return nil
	})
}
