package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/podlan/podlan/integration/lab"
)

// inventory is what the node holds, by kind, a line each.
type inventory struct {
	kinds []string
	lines map[string][]string
}

// The kinds, as they are printed.
const (
	kindLinks    = "links"
	kindEntries  = "routes, neighbour and bridge entries"
	kindElements = "nft elements of the guard"
	kindRecords  = "attachment records"
	kindFiles    = "podland's lease files"
)

func (d *demo) takeInventory() (inventory, error) {
	inv := inventory{
		kinds: []string{kindLinks, kindEntries, kindElements, kindRecords, kindFiles},
		lines: map[string][]string{},
	}
	snapshot, err := d.node.TakeSnapshot()
	if err != nil {
		return inv, err
	}
	for name := range snapshot.Links {
		inv.add(kindLinks, name)
	}
	inv.add(kindEntries, slices.Concat(snapshot.Routes, snapshot.Neighbours, snapshot.FDB)...)
	inv.add(kindElements, elements(snapshot)...)
	files, err := d.node.StateFiles()
	if err != nil {
		return inv, err
	}
	for _, f := range files {
		switch folder, _, _ := strings.Cut(f, "/"); folder {
		case "locks": // empty files that processes wait at
		case "attachments":
			inv.add(kindRecords, f)
		default:
			inv.add(kindFiles, f)
		}
	}
	return inv, nil
}

func (inv inventory) add(kind string, lines ...string) {
	inv.lines[kind] = append(inv.lines[kind], lines...)
}

// elements are the snapshot's lines about members of sets; the table and its
// empty sets may stay for the next Pod.
func elements(s lab.Snapshot) []string {
	return slices.DeleteFunc(slices.Clone(s.NFT), func(line string) bool {
		_, set, ok := strings.Cut(line, " set ")
		return !ok || !strings.Contains(set, ": ")
	})
}

// beyond returns what inv has of a kind and other has not.
func (inv inventory) beyond(other inventory, kind string) []string {
	return slices.DeleteFunc(slices.Clone(inv.lines[kind]), func(line string) bool {
		return slices.Contains(other.lines[kind], line)
	})
}

// clean is nil if inv has nothing that bare has not.
func (inv inventory) clean(bare inventory) error {
	for _, kind := range inv.kinds {
		if left := inv.beyond(bare, kind); len(left) > 0 {
			return fmt.Errorf("left on the node, of %s: %v", kind, left)
		}
	}
	return nil
}
