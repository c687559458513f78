package guard

import (
	"cmp"
	"slices"
	"strings"

	"github.com/podlan/podlan/pkg/nft"
)

// element asks for one element; false if it, its set or the table is missing.
func (s *session) element(e element) (nft.Standing, bool, error) {
	return s.conn.Element(table(), e.set, e.Key)
}

// notes asks for a port's notes, none if it has no elements.
func (s *session) notes(name string) ([]string, error) {
	one, ok, err := s.conn.Element(table(), setPorts, noteKey(name, 0))
	if err != nil || !ok {
		return nil, err
	}
	notes := []string{one.Note}
	for i := range following(one.Note) {
		next, _, err := s.conn.Element(table(), setPorts, noteKey(name, i+1))
		if err != nil {
			return nil, err
		}
		notes = append(notes, next.Note)
	}
	return notes, nil
}

// ports lists the ports of the table that stands, of whatever version; none if
// there is no table. It dumps a set: not for hot paths.
func (s *session) ports() ([]Port, error) {
	names, err := s.conn.Sets(table())
	if err != nil {
		return nil, err
	}
	var ports []Port
	for _, set := range names {
		if !strings.HasPrefix(set, setPortsPrefix) {
			continue
		}
		els, err := s.conn.Elements(table(), set)
		if err != nil {
			return nil, err
		}
		ports = append(ports, portsOf(els)...)
	}
	return ports, nil
}

func portsOf(els []nft.Standing) []Port {
	slices.SortFunc(els, func(a, b nft.Standing) int {
		name, i := splitKey(a.Key)
		other, j := splitKey(b.Key)
		return cmp.Or(cmp.Compare(name, other), cmp.Compare(i, j))
	})
	// A set that grows under a dump shows an element twice.
	els = slices.CompactFunc(els, func(a, b nft.Standing) bool { return a.Key == b.Key })
	notes := make(map[string][]string)
	for _, e := range els {
		name, _ := splitKey(e.Key)
		notes[name] = append(notes[name], e.Note)
	}
	var ports []Port
	for name, note := range notes {
		// What another version wrote and this one cannot read stays closed.
		if p, err := parseNotes(name, note); err == nil {
			ports = append(ports, p)
		}
	}
	return ports
}
