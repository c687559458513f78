package kube

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/podlan/podlan/integration/lab"
)

// AwaitRules waits until the node's kernel has kube-proxy's rules for the Services
// and all of their endpoints.
func (c *Cluster) AwaitRules(node *lab.Node, services ...Service) {
	c.tb.Helper()
	lab.Eventually(c.tb, "kube-proxy's rules on "+node.Name(), func() error {
		return c.programmed(c.tb.Context(), node, services...)
	})
}

// Rules returns what kube-proxy has put into the node's kernel, as the mode's own
// program prints it.
func (c *Cluster) Rules(ctx context.Context, node *lab.Node) (string, error) {
	b, ok := c.proxies[node.Name()]
	if !ok {
		return "", fmt.Errorf("no kube-proxy was started on %s", node.Name())
	}
	program, args := b.tool.Path, []string{"list", "table", "ip", "kube-proxy"}
	if b.mode == IPTables {
		program, args = strings.TrimSuffix(program, "iptables")+"iptables-save", []string{"-t", "nat"}
	}
	cmd := node.Command(ctx, program, args...)
	cmd.Env = append(cmd.Env, b.tool.Env...)
	out, err := cmd.Output()
	return string(out), err
}

// programmed tells whether the rules are there: kube-proxy writes all of a
// Service in one transaction, so its addresses and its endpoints are enough.
func (c *Cluster) programmed(ctx context.Context, node *lab.Node, services ...Service) error {
	rules, err := c.Rules(ctx, node)
	if err != nil {
		return err
	}
	complete := Service.inNFTables
	if c.proxies[node.Name()].mode == IPTables {
		complete = Service.inIPTables
	}
	for _, s := range services {
		if missing := complete(s, rules); missing != "" {
			return fmt.Errorf("Service %s has no %s in\n%s", s.Name, missing, rules)
		}
	}
	return nil
}

// inIPTables returns what the rules lack of the Service. kube-proxy comments each
// rule with its Service.
func (s Service) inIPTables(rules string) (missing string) {
	for _, p := range s.ports {
		name := fmt.Sprintf("default/%s:%s", s.Name, p.name)
		for _, addr := range s.addrs() {
			if !hasLine(rules, `"`+name+" ", fmt.Sprintf("-d %s/32", addr)) {
				return "rule for " + addr.String()
			}
		}
		for _, e := range s.spec.Endpoints {
			if !hasLine(rules, `"`+name+`"`, fmt.Sprintf("--to-destination %s:%d", e.Addr, s.spec.Target)) {
				return "endpoint " + e.Addr.String()
			}
		}
	}
	return ""
}

// inNFTables returns what the rules lack of the Service. kube-proxy names a chain
// after each Service and leads to it by a map of addresses.
func (s Service) inNFTables(rules string) (missing string) {
	for _, p := range s.ports {
		for _, addr := range s.addrs() {
			if !strings.Contains(rules, fmt.Sprintf(" %s . %s . %d : goto ", addr, p.protocol, s.spec.Port)) {
				return "element for " + addr.String()
			}
		}
		// Other chains of the Service are for what comes from outside.
		name := regexp.QuoteMeta(fmt.Sprintf("default/%s/%s/%s", s.Name, p.protocol, p.name))
		chain := regexp.MustCompile(`(?s)chain service-[A-Z2-7]+-` + name + ` \{.*?\n\t\}`).FindString(rules)
		for _, e := range s.spec.Endpoints {
			if !strings.Contains(chain, fmt.Sprintf(": %s . %d", e.Addr, s.spec.Target)) {
				return "endpoint " + e.Addr.String()
			}
		}
	}
	return ""
}

// addrs are those that the Service is asked at.
func (s Service) addrs() []netip.Addr {
	all := []netip.Addr{s.ClusterIP}
	for _, a := range []netip.Addr{s.spec.Ingress, s.spec.External} {
		if a.IsValid() {
			all = append(all, a)
		}
	}
	return all
}

// hasLine tells whether a line of the text holds both parts.
func hasLine(text, a, b string) bool {
	for line := range strings.Lines(text) {
		if strings.Contains(line, a) && strings.Contains(line, b) {
			return true
		}
	}
	return false
}
