package leg_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/podlan/podlan/pkg/leaseapi"
	"github.com/podlan/podlan/pkg/leg"
)

// TestAnAddressIsRefusedThoughSomebodyHasFlushedTheElements: on a bridge where the
// node is beside its Pods, nothing else in the kernel tells of them.
func TestAnAddressIsRefusedThoughSomebodyHasFlushedTheElements(t *testing.T) {
	p := beside(t)
	p.node.Bridge(t, "lan1")
	for _, set := range []string{"pods", "clients"} {
		run(t, p.node, "nft", "", "nft", "flush", "map", "ip", "podlan_service", set)
	}
	wantCode(t, p.routes.Add(t.Context(), twin(p.leg, "lan1"), these(p.leg)), leaseapi.CodeConfig)
}

// TestEveryShortfallIsTold: each of FORWARD's chains may have one, and what they
// leave is no excuse for the others.
func TestEveryShortfallIsTold(t *testing.T) {
	p := beside(t)
	backends(t)
	p.bridgeNF(t, true)
	good := os.Getenv("PATH")
	iptables(t, p.node, "iptables-nft -P FORWARD DROP", "ip6tables-nft -P FORWARD DROP")
	p.add(t)
	before := forwarded(t, p.node, "nft")
	iptables(t, p.node, "iptables-nft -F FORWARD", "ip6tables-nft -F FORWARD")

	bad := t.TempDir()
	broken := func(names ...string) {
		for _, name := range names {
			must(t, os.WriteFile(filepath.Join(bad, name), []byte("#!/bin/false\n"), 0o700))
		}
	}
	broken("iptables-nft", "ip6tables-nft")
	t.Setenv("PATH", bad+":"+good)
	var commands []string
	for _, short := range leg.Shortfalls(p.routes.Add(t.Context(), p.leg, none)) {
		if hand, ok := errors.AsType[*leg.ByHandError](short); ok {
			commands = append(commands, hand.Command)
		}
	}
	if all := strings.Join(commands, "\n"); len(commands) != 2 || !strings.HasPrefix(all, "iptables-nft -w -I") || !strings.Contains(all, "\nip6tables-nft -w -I") {
		t.Errorf("by hand: %q", commands)
	}
	must(t, p.routes.Check(t.Context(), p.leg))

	must(t, os.Remove(filepath.Join(bad, "iptables-nft"))) // now one of the two can do its work
	wantCode(t, p.routes.Check(t.Context(), p.leg), leaseapi.CodeChanged)
	_, err := p.routes.Restore(t.Context(), these(p.leg))
	if len(leg.Shortfalls(err)) != 1 {
		t.Errorf("got %v, want one shortfall", err)
	}
	if now := forwarded(t, p.node, "nft"); len(now) == 0 || now[0] != before[0] {
		t.Errorf("FORWARD was\n%q\nis\n%q", before, now)
	}
}
