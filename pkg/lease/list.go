package lease

import (
	"cmp"
	"slices"
	"strings"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// Get returns the key's lease; a pending one is judged on the way, so that a
// finished ADD is seen as one.
func (k *Keeper) Get(key leaseapi.Key) (leaseapi.Lease, bool) {
	k.confirmPending(func() []*entry {
		if e := k.leases[key]; e != nil {
			return []*entry{e}
		}
		return nil
	})
	var l leaseapi.Lease
	found := false
	_ = k.do(func() {
		if e := k.leases[key]; e != nil && e.stage != releasing {
			l, found = k.view(e), true
		}
	})
	return l, found
}

// List returns all leases, sorted by key. Pending ones are judged on the way.
func (k *Keeper) List() []leaseapi.Lease {
	k.confirmPending(k.entries)
	var all []leaseapi.Lease
	_ = k.do(func() {
		for _, e := range k.leases {
			if e.stage != releasing {
				all = append(all, k.view(e))
			}
		}
	})
	slices.SortFunc(all, func(a, b leaseapi.Lease) int { return strings.Compare(a.Key.String(), b.Key.String()) })
	return all
}

func (k *Keeper) entries() []*entry {
	var all []*entry
	for _, e := range k.leases {
		all = append(all, e)
	}
	return all
}

// confirmPending asks Confirm about those that are pending. The deadline asks
// again about what it does not confirm.
func (k *Keeper) confirmPending(of func() []*entry) {
	type asked struct {
		entry    *entry
		tenure   int
		question Held
	}
	var pendings []asked
	_ = k.do(func() {
		for _, e := range of() {
			if e.stage == pending && e.unsure {
				pendings = append(pendings, asked{e, e.tenure, k.question(e)})
			}
		}
	})
	for _, a := range pendings {
		if k.cfg.Confirm(a.question) != Confirmed {
			continue
		}
		_ = k.do(func() {
			if e := a.entry; e.tenure == a.tenure && !e.gone && e.stage == pending {
				k.confirm(e)
			}
		})
	}
}

// Segments returns where leases are held, sorted by name and VLAN.
func (k *Keeper) Segments() []leaseapi.Segment {
	var all []leaseapi.Segment
	var names []string
	_ = k.do(func() {
		leases := map[*segment]int{}
		for _, e := range k.leases {
			if e.stage != releasing {
				leases[e.segment]++
			}
		}
		for s, n := range leases {
			names = append(names, s.name())
			all = append(all, leaseapi.Segment{Uplink: s.uplink, Bridge: s.bridge, VLAN: s.vlan, Leases: n})
		}
	})
	for i := range all {
		all[i].Present, all[i].Carrier = k.cfg.Wire.State(names[i])
	}
	slices.SortFunc(all, func(a, b leaseapi.Segment) int {
		return cmp.Or(strings.Compare(a.Uplink+a.Bridge, b.Uplink+b.Bridge), cmp.Compare(a.VLAN, b.VLAN))
	})
	return all
}
