package churn

import (
	"testing"

	"github.com/podlan/podlan/integration/bench/machine"
	"github.com/podlan/podlan/integration/lab"
)

func state() State {
	return State{
		Node:   lab.Snapshot{Links: map[string]lab.Link{"eth1": {Type: "veth", Promiscuity: 1}}, NFT: []string{"bridge podlan"}},
		Pods:   []lab.Snapshot{{}},
		Leases: []string{"a"}, Server: []string{"a"}, Files: []string{"a"},
		Usage:       machine.Usage{RSS: 10, Threads: 10, Descriptors: 2},
		Descriptors: map[string]int{"socket": 2}, Namespaces: 1,
	}
}

func TestWhatComesAndGoesByItselfIsNotTakenForLeft(t *testing.T) {
	after := state()
	after.Node.Links["eth1"] = lab.Link{Type: "veth"}
	after.Usage.RSS, after.Usage.Threads, after.Descriptors = 18, 18, map[string]int{"socket": 1}
	if err := more(state(), after); err != nil {
		t.Error(err)
	}
}

func TestEachKindOfLeftoverIsSeen(t *testing.T) {
	for name, leave := range map[string]func(*State){
		"a link":            func(s *State) { s.Node.Links["vethpl0"] = lab.Link{} },
		"an nft element":    func(s *State) { s.Node.NFT = append(s.Node.NFT, "element") },
		"a link in a Pod":   func(s *State) { s.Pods[0].Links = map[string]lab.Link{"eth0": {}} },
		"a lease":           func(s *State) { s.Leases = append(s.Leases, "b") },
		"one on the server": func(s *State) { s.Server = append(s.Server, "b") },
		"a file":            func(s *State) { s.Files = nil },
		"a descriptor":      func(s *State) { s.Descriptors["socket"]++ },
		"one of a new kind": func(s *State) { s.Descriptors["pipe"]++ },
		"a namespace":       func(s *State) { s.Namespaces++ },
		"threads":           func(s *State) { s.Usage.Threads += threadsMore + 1 },
		"memory":            func(s *State) { s.Usage.RSS += memoryMore + 1 },
	} {
		after := state()
		leave(&after)
		if more(state(), after) == nil {
			t.Errorf("%s is not seen", name)
		}
	}
}
