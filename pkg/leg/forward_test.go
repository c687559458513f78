package leg_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/podlan/podlan/integration/debs"
	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// backends lets the programs of both of iptables' backends be found.
func backends(t *testing.T) {
	t.Helper()
	tool, err := debs.Find(t.Context(), "iptables")
	must(t, err)
	for _, e := range tool.Env {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
	t.Setenv("PATH", filepath.Join(tool.Root, "usr/sbin"))
}

// iptables runs a program of Debian's package iptables, words of a line each.
func iptables(t *testing.T, n *rtnltest.Netns, lines ...string) string {
	t.Helper()
	tool, err := debs.Find(t.Context(), "iptables")
	must(t, err)
	var out string
	for _, line := range lines {
		words := strings.Fields(line)
		words[0] = filepath.Join(tool.Root, "usr/sbin", words[0])
		out = runPath(t, n, tool, "", words...)
	}
	return out
}

// saved is what the backend has, without what counts and when it was asked.
func saved(t *testing.T, n *rtnltest.Netns, backend string) string {
	t.Helper()
	all := iptables(t, n, "iptables-"+backend+"-save") + iptables(t, n, "ip6tables-"+backend+"-save")
	return regexp.MustCompile(`(?m)^#.*\n|\[\d+:\d+\]`).ReplaceAllString(all, "")
}

// forwarded are the rules of FORWARD in both families.
func forwarded(t *testing.T, n *rtnltest.Netns, backend string) []string {
	t.Helper()
	var rules []string
	for _, program := range []string{"iptables-", "ip6tables-"} {
		for line := range strings.Lines(iptables(t, n, program+backend+" -S FORWARD")) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "-A") {
				rules = append(rules, program+backend+" "+line)
			}
		}
	}
	return rules
}

const accepted = `-A FORWARD -i lan0 -m physdev --physdev-is-bridged -m comment --comment "podlan:lan0" -j ACCEPT`

// firstAccepted tells whether our rule is each family's first, and no other.
func firstAccepted(t *testing.T, n *rtnltest.Netns, backend string) error {
	t.Helper()
	rules := forwarded(t, n, backend)
	for _, program := range []string{"iptables-", "ip6tables-"} {
		var all []string
		for _, r := range rules {
			if strings.HasPrefix(r, program) {
				all = append(all, strings.TrimPrefix(r, program+backend+" "))
			}
		}
		if len(all) == 0 || all[0] != accepted || strings.Count(strings.Join(all, "\n"), accepted) != 1 {
			return fmt.Errorf("%sS FORWARD: %q", program, all)
		}
	}
	return nil
}

func (p *place) restored(t *testing.T, want bool) {
	t.Helper()
	intact, err := p.routes.Intact(t.Context(), []leg.Leg{p.leg})
	must(t, err)
	if intact == want {
		t.Errorf("intact: %v, want %v", intact, !want)
	}
	restored, err := p.routes.Restore(t.Context(), these(p.leg))
	must(t, err)
	if restored != want {
		t.Errorf("restored: %v, want %v", restored, want)
	}
	intact, err = p.routes.Intact(t.Context(), []leg.Leg{p.leg})
	must(t, err)
	if !intact {
		t.Error("not intact after Restore")
	}
}

// TestBridgedFramesPassAForwardThatDrops as Docker's does: our rule comes first,
// stays so, follows the sysctl and goes with the last leg of the bridge.
func TestBridgedFramesPassAForwardThatDrops(t *testing.T) {
	for _, backend := range []string{"nft", "legacy"} {
		t.Run(backend, func(t *testing.T) {
			p := beside(t)
			backends(t)
			p.bridgeNF(t, true)
			v4, v6 := "iptables-"+backend, "ip6tables-"+backend
			iptables(t, p.node, v4+" -P FORWARD DROP", v6+" -P FORWARD DROP", v4+" -A FORWARD -i docker0 -j DROP")
			before := saved(t, p.node, backend)

			p.add(t)
			must(t, firstAccepted(t, p.node, backend))
			pod := p.leg.Addrs[0].Addr().String()
			wantTalk(t, "from the LAN", p.host, p.pod, pod+":80", pod+":80", hostOnNode)
			wantTalk(t, "to the LAN", p.pod, p.host, hostOnNode+":80", hostOnNode+":80", pod)
			p.add(t)
			must(t, firstAccepted(t, p.node, backend))
			p.restored(t, false)

			iptables(t, p.node, v4+" -I FORWARD 1 -j DROP", v6+" -F FORWARD")
			p.restored(t, true)
			must(t, firstAccepted(t, p.node, backend))
			iptables(t, p.node, v4+" -D FORWARD -j DROP")

			p.bridgeNF(t, false)
			p.restored(t, true)
			for _, r := range forwarded(t, p.node, backend) {
				if strings.Contains(r, "physdev") {
					t.Errorf("bridge-nf is 0: %s", r)
				}
			}
			p.bridgeNF(t, true)
			p.restored(t, true)
			must(t, firstAccepted(t, p.node, backend))

			_, second := p.second(t)
			must(t, p.routes.Remove(t.Context(), p.leg, these(second)))
			must(t, firstAccepted(t, p.node, backend))
			must(t, p.routes.Remove(t.Context(), second, none))
			if after := saved(t, p.node, backend); after != before {
				t.Errorf("before and after:\n%s\n%s", before, after)
			}
		})
	}
}

// TestNoForwardIsMade where the machine has none: it would stay.
func TestNoForwardIsMade(t *testing.T) {
	p := beside(t)
	backends(t)
	p.bridgeNF(t, true)
	p.add(t)
	p.restored(t, false)
	if rules := run(t, p.node, "nft", "", "nft", "list", "tables"); strings.Contains(rules, "filter") {
		t.Errorf("tables: %s", rules)
	}
	must(t, p.node.Do(func() error {
		names, err := os.ReadFile("/proc/thread-self/net/ip_tables_names")
		if strings.Contains(string(names), "filter") {
			t.Error("a table of the legacy backend was made")
		}
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}))
}

// TestWithoutAProgramTheRuleIsTold so that somebody may add it by hand. CHECK
// takes no offence.
func TestWithoutAProgramTheRuleIsTold(t *testing.T) {
	p := beside(t)
	p.bridgeNF(t, true)
	iptables(t, p.node, "iptables-nft -P FORWARD DROP")
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "iptables-nft"), []byte("#!/bin/false\n"), 0o700))
	t.Setenv("PATH", dir) // found before the machine's own, if it has one
	err := p.routes.Add(t.Context(), p.leg, none)
	short, ok := errors.AsType[*leg.Shortfall](err)
	if !ok {
		t.Fatalf("got %v, want a shortfall", err)
	}
	hand, ok := errors.AsType[*leg.ByHandError](short)
	if !ok {
		t.Fatalf("got %v, want what to do by hand", err)
	}
	must(t, p.routes.Check(t.Context(), p.leg)) // as ADD left it
	iptables(t, p.node, strings.Split(hand.Command, " && ")...)
	must(t, p.routes.Add(t.Context(), p.leg, none))
	must(t, p.routes.Check(t.Context(), p.leg))
	must(t, p.routes.Remove(t.Context(), p.leg, none)) // a DEL ends all the same
}

func TestBridgeNFIsOffWhereTheKernelHasNone(t *testing.T) {
	p := beside(t)
	for _, on := range []bool{true, false} {
		p.bridgeNF(t, on)
		got, err := leg.BridgeNF(p.node.Handle)
		must(t, err)
		if got != on {
			t.Errorf("bridge-nf: %v, want %v", got, on)
		}
	}
}
