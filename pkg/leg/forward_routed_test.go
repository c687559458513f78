package leg_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/podlan/podlan/pkg/leg"
	"github.com/podlan/podlan/pkg/netconf"
)

// routed are our rules that accept what the node has redirected, with their
// places among all.
func (p *place) routed(t *testing.T, backend string) (rules []string, behind bool) {
	t.Helper()
	all := forwarded(t, p.node, backend)
	for i, r := range all {
		if strings.Contains(r, `"podlan:`) && strings.Contains(r, "--ctstate") {
			rules, behind = append(rules, r), i == len(all)-1
		}
	}
	return rules, behind
}

const clusterIP = "10.96.0.1:80"

// refused expects FORWARD to drop what the node redirects.
func (p *place) refused(t *testing.T) {
	t.Helper()
	const patience = 300 * time.Millisecond // that of a packet which is dropped for good
	if seen, err := talkWithin(t, patience, p.pod, p.host, hostOnNode+":80", clusterIP); err == nil {
		t.Errorf("a Service is reached, as %s", seen)
	}
	if seen, err := talkWithin(t, patience, p.host, p.pod, podAddr+":80", nodeAddr+":30080"); err == nil {
		t.Errorf("a port of the node is reached, as %s", seen)
	}
}

// TestServicesPassAForwardThatDrops as Docker's does, by its policy: a Pod asks a
// Service, and the LAN a port of the node that leads to a Pod. What others refuse
// by a rule stays refused.
func TestServicesPassAForwardThatDrops(t *testing.T) {
	for _, backend := range []string{"nft", "legacy"} {
		t.Run(backend, func(t *testing.T) {
			p := apart(t)
			backends(t)
			p.bridgeNF(t, false)
			p.nodePort(t)
			viaNFTables(t, p.node, service{clusterIP, hostOnNode + ":80"})
			v4 := "iptables-" + backend
			iptables(t, p.node, v4+" -A FORWARD -i docker0 -j DROP")
			p.add(t)
			if rules, _ := p.routed(t, backend); len(rules) > 0 {
				t.Errorf("the policy is ACCEPT: %q", rules)
			}
			before := saved(t, p.node, backend)
			iptables(t, p.node, v4+" -P FORWARD DROP")
			p.refused(t)

			p.restored(t, true)
			must(t, p.routes.Check(t.Context(), p.leg))
			if rules, behind := p.routed(t, backend); len(rules) != 2 || !behind {
				t.Errorf("rules: %q, behind the others: %v", rules, behind)
			}
			wantTalk(t, "a Service", p.pod, p.host, hostOnNode+":80", clusterIP, nodeAddr)
			wantTalk(t, "a port of the node", p.host, p.pod, podAddr+":80", nodeAddr+":30080", hostOnNode)
			p.add(t)
			p.restored(t, false)

			iptables(t, p.node, v4+" -I FORWARD 1 -i lan0 -j DROP")
			p.refused(t)
			p.restored(t, false) // somebody's will
			iptables(t, p.node, v4+" -D FORWARD -i lan0 -j DROP")

			_, second := p.second(t)
			must(t, p.routes.Remove(t.Context(), p.leg, these(second)))
			if rules, _ := p.routed(t, backend); len(rules) != 2 {
				t.Errorf("the second Pod's rules: %q", rules)
			}
			iptables(t, p.node, v4+" -P FORWARD ACCEPT")
			_, err := p.routes.Restore(t.Context(), these(second))
			must(t, err)
			if after := saved(t, p.node, backend); after != before {
				t.Errorf("the policy is ACCEPT again, before and after:\n%s\n%s", before, after)
			}
			iptables(t, p.node, v4+" -P FORWARD DROP")
			_, err = p.routes.Restore(t.Context(), these(second))
			must(t, err)
			must(t, p.routes.Remove(t.Context(), second, none))
			if rules, _ := p.routed(t, backend); len(rules) > 0 {
				t.Errorf("nobody's rules: %q", rules)
			}
		})
	}
}

// TestModeBridgeNFIsWarnedOfWithoutIt: it stands, for what is not beside the Pod.
func TestModeBridgeNFIsWarnedOfWithoutIt(t *testing.T) {
	p := apart(t)
	p.bridgeNF(t, false)
	p.leg.Service.Mode = netconf.ServiceBridgeNF
	err := p.routes.Add(t.Context(), p.leg, none)
	if _, ok := errors.AsType[*leg.Shortfall](err); !ok {
		t.Errorf("got %v, want a shortfall", err)
	}
	must(t, p.routes.Check(t.Context(), p.leg))
	p.bridgeNF(t, true)
	must(t, p.routes.Add(t.Context(), p.leg, none))
}

// TestRulesThatCannotBeReadAreTold: of the legacy backend without its program,
// nothing is known.
func TestRulesThatCannotBeReadAreTold(t *testing.T) {
	p := apart(t)
	p.bridgeNF(t, false)
	iptables(t, p.node, "iptables-legacy -P FORWARD DROP", "ip6tables-legacy -P FORWARD DROP")
	dir := t.TempDir()
	for _, name := range []string{"iptables-legacy", "ip6tables-legacy"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/false\n"), 0o700))
	}
	t.Setenv("PATH", dir)
	hand, ok := errors.AsType[*leg.ByHandError](p.routes.Add(t.Context(), p.leg, none))
	if !ok {
		t.Fatal("want what to do by hand")
	}
	if strings.Contains(hand.Command, "-D") || strings.Contains(hand.Command, "ip6tables") {
		t.Errorf("by hand: %s", hand.Command)
	}
	iptables(t, p.node, strings.Split(hand.Command, " && ")...)
	backends(t)
	must(t, p.routes.Check(t.Context(), p.leg))
	must(t, p.routes.Remove(t.Context(), p.leg, none))
}
