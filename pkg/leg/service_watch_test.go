package leg_test

import (
	"context"
	"testing"
	"time"

	"github.com/podlan/podlan/pkg/leg"
)

func TestRuleEventsTellWhatOthersDoToOurRulesAndToForward(t *testing.T) {
	p := beside(t)
	iptables(t, p.node, "iptables-nft -A FORWARD -i docker0 -j ACCEPT", "iptables-nft -N KUBE-FORWARD", "iptables-nft -t nat -N KUBE-SERVICES")
	cases := []struct {
		what    string
		do      func()
		matters bool
	}{
		{"another chain", func() { iptables(t, p.node, "iptables-nft -A KUBE-FORWARD -j ACCEPT") }, false},
		{"another table", func() { iptables(t, p.node, "iptables-nft -t nat -A KUBE-SERVICES -j ACCEPT") }, false},
		{"another Pod", func() { p.second(t) }, false},
		{"a rule of FORWARD", func() { iptables(t, p.node, "iptables-nft -I FORWARD 1 -j DROP") }, true},
		{"its policy", func() { iptables(t, p.node, "iptables-nft -P FORWARD DROP") }, true},
		{"our table", func() { run(t, p.node, "nft", "", "nft", "flush table ip podlan_service") }, true},
	}
	for _, c := range cases {
		t.Run(c.what, func(t *testing.T) {
			events, err := leg.WatchRules(p.node.Handle)
			must(t, err)
			defer events.Close()
			c.do()
			// What there is to hear has been said: a slow machine can only miss it.
			patience := map[bool]time.Duration{true: 20 * time.Second, false: 100 * time.Millisecond}[c.matters]
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := events.Wait(ctx); (err == nil) != c.matters {
				t.Errorf("told of a change: %v, want %v (%v)", err == nil, c.matters, err)
			}
		})
	}
}

func TestRuleEventsEndWithTheContext(t *testing.T) {
	p := beside(t)
	events, err := leg.WatchRules(p.node.Handle)
	must(t, err)
	defer events.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := events.Wait(ctx); err == nil {
		t.Error("Wait ended without the context's error")
	}
}
