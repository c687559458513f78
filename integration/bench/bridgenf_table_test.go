package main

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestWhatBridgeNFLeaves(t *testing.T) {
	cases := map[string]struct {
		without, with []float64
		share         float64
		pass          bool
	}{
		"all":                          {[]float64{20, 20, 20}, []float64{20, 20, 20}, 1, true},
		"just enough":                  {[]float64{20, 20, 20}, []float64{18, 18, 18}, 0.9, true},
		"too little":                   {[]float64{20, 20, 20}, []float64{17, 17.9, 18}, 0.895, false},
		"a machine that becomes slow":  {[]float64{30, 20, 10}, []float64{30, 20, 10}, 1, true},
		"one turn with another's load": {[]float64{30, 30, 30}, []float64{30, 1, 30}, 1, true},
		"a turn in which none arrived": {[]float64{30, 0, 30}, []float64{15, 30, 15}, 0.5, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			// The reference's do not count, nor the datagrams.
			got := newNFTable(nfRounds{Rates: []*nfRates{
				{Side: podlan, BridgeNF: 0, Gbits: c.without, Small: []float64{1}},
				{Side: reference, BridgeNF: 0, Gbits: []float64{1, 1, 1}},
				{Side: podlan, BridgeNF: 1, Gbits: c.with, Small: []float64{0.1}},
				{Side: reference, BridgeNF: 1, Gbits: []float64{0.1, 0.1, 0.1}},
			}}).Verdicts
			if len(got) != 1 || got[0].Pass != c.pass || math.Abs(got[0].Value-c.share) > 1e-9 {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// The reference alone is shown, and judges nothing.
func TestBridgeNFOfOneSide(t *testing.T) {
	table := newNFTable(nfRounds{Rates: []*nfRates{
		{Side: reference, BridgeNF: 0, Gbits: []float64{20}, Small: []float64{100}},
		{Side: reference, BridgeNF: 1, Gbits: []float64{8}, Small: []float64{40}},
		{Side: ruleless, BridgeNF: 1, Gbits: []float64{19}, Small: []float64{93}},
	}})
	var b strings.Builder
	if err := table.write(&b); err != nil {
		t.Fatal(err)
	}
	if out := b.String(); strings.Contains(out, "NaN") || strings.Contains(out, "MISS") || !strings.Contains(out, "0.40") || !strings.Contains(out, "0.95") {
		t.Errorf("printed:\n%s", out)
	}
}

func TestOnlyTheLastOfManyRulesMatches(t *testing.T) {
	var rules []string
	for line := range strings.Lines(manyRules(forwardRules)) {
		if strings.HasPrefix(line, "-A FORWARD ") {
			rules = append(rules, line)
		}
	}
	if len(rules) != forwardRules {
		t.Errorf("%d rules", len(rules))
	}
	matching := slices.IndexFunc(rules, func(r string) bool { return strings.Contains(r, "-s 198.18.") })
	if matching != forwardRules-1 || len(slices.Compact(rules)) != forwardRules {
		t.Errorf("the first that matches is rule %d", matching+1)
	}
}

func TestServicesAreAddedToTheShippedNetwork(t *testing.T) {
	got, err := withServices([]byte(`{"name": "lan", "plugins": [
		{"type": "podlan-bridge", "bridge": "lan0", "ipam": {"type": "podlan-dhcp"}}, {"type": "portmap"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Plugins []map[string]any `json:"plugins"`
	}
	if err := json.Unmarshal(got, &list); err != nil {
		t.Fatal(err)
	}
	if p := list.Plugins; len(p) != 2 || p[0]["serviceCIDRs"] == nil || p[0]["bridge"] != "lan0" || p[1]["serviceCIDRs"] != nil {
		t.Errorf("got %s", got)
	}
}

func TestTheNodesOfOneSide(t *testing.T) {
	for only, want := range map[string][]string{
		"":        {podlan, reference, podlan, reference, ruleless},
		podlan:    {podlan, podlan},
		reference: {reference, reference, ruleless},
	} {
		var got []string
		for _, s := range nfSides(only) {
			got = append(got, s.Side)
		}
		if !slices.Equal(got, want) {
			t.Errorf("-only %q: %q, want %q", only, got, want)
		}
	}
}
