package leg

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
)

// span is a range of IPv4 addresses as numbers, without its end: which is
// 1<<32 for the last of all.
type span struct{ from, to uint64 }

// spans are in order, and neither overlap nor touch.
type spans []span

func (s spans) equal(o spans) bool { return slices.Equal(s, o) }

// with returns the spans and those of these networks of IPv4.
func (s spans) with(nets ...netip.Prefix) spans {
	all := slices.Clone(s)
	for _, p := range nets {
		from := uint64(binary.BigEndian.Uint32(p.Addr().AsSlice()))
		all = append(all, span{from, from + 1<<(32-p.Bits())})
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var merged spans
	for _, one := range all {
		if last := len(merged) - 1; last >= 0 && one.from <= merged[last].to {
			merged[last].to = max(merged[last].to, one.to)
			continue
		}
		merged = append(merged, one)
	}
	return merged
}

// key is an address as a set has it.
func key(n uint64) string { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }

// number is key's way back; 0 of what is none.
func number(key string) uint64 {
	if len(key) != 4 {
		return 0
	}
	return uint64(binary.BigEndian.Uint32([]byte(key)))
}

// between makes spans of what a set holds, both in order.
func between(starts, ends []uint64) spans {
	var all spans
	for _, from := range starts {
		to := uint64(1) << 32
		if i, _ := slices.BinarySearch(ends, from+1); i < len(ends) {
			to = ends[i]
		}
		all = append(all, span{from, to})
	}
	return all
}
