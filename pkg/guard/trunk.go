package guard

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxVID is the largest VID of IEEE 802.1Q; 0 stands for no VLAN but a priority.
const maxVID = 4094

// vids returns the trunk's VIDs in order, each once.
func (p Port) vids() []uint16 {
	vids := slices.Clone(p.Trunk)
	slices.Sort(vids)
	return slices.Compact(vids)
}

// VLANs returns the trunk as people write it: VIDs and ranges of them, in order.
func (p Port) VLANs() []string {
	var all []string
	for vids := p.vids(); len(vids) > 0; {
		n := 1
		for n < len(vids) && vids[n] == vids[n-1]+1 {
			n++
		}
		word := strconv.Itoa(int(vids[0]))
		if n > 1 {
			word += "-" + strconv.Itoa(int(vids[n-1]))
		}
		all, vids = append(all, word), vids[n:]
	}
	return all
}

func (p Port) trunkElements() []element {
	var els []element
	for _, vid := range p.vids() {
		els = append(els, elementOf(setTrunk, key(p.Name, binary.BigEndian.AppendUint16(nil, vid))))
	}
	return els
}

// readVLANs reads one of VLANs' words.
func readVLANs(word string) ([]uint16, error) {
	from, to, isRange := strings.Cut(word, "-")
	if !isRange {
		to = from
	}
	first, err := strconv.ParseUint(from, 10, 12)
	if err != nil {
		return nil, fmt.Errorf("VLANs %q: %w", word, err)
	}
	last, err := strconv.ParseUint(to, 10, 12)
	if err != nil {
		return nil, fmt.Errorf("VLANs %q: %w", word, err)
	}
	var vids []uint16
	for vid := first; vid <= last; vid++ {
		vids = append(vids, uint16(vid))
	}
	return vids, nil
}
