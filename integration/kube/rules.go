package kube

import (
	"context"
	"fmt"
	"strings"

	"github.com/podlan/podlan/integration/lab"
)

// AwaitRules waits until the node's kernel has kube-proxy's rules for the Service
// and all of its endpoints.
func (c *Cluster) AwaitRules(node *lab.Node, s Service) {
	c.tb.Helper()
	lab.Eventually(c.tb, "kube-proxy's rules for "+s.Name+" on "+node.Name(), func() error {
		return c.programmed(c.tb.Context(), node, s)
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
// Service in one transaction, so its address and its endpoints are enough.
func (c *Cluster) programmed(ctx context.Context, node *lab.Node, s Service) error {
	rules, err := c.Rules(ctx, node)
	if err != nil {
		return err
	}
	for _, parts := range s.traces(c.proxies[node.Name()].mode) {
		if !hasLine(rules, parts) {
			return fmt.Errorf("no line with %q in\n%s", parts, rules)
		}
	}
	return nil
}

// traces are what a Service leaves in the rules: parts of one line each.
func (s Service) traces(mode Mode) [][]string {
	var traces [][]string
	if mode == IPTables {
		name := fmt.Sprintf("default/%s:%s", s.Name, s.port)
		traces = append(traces, []string{`"` + name + ` cluster IP"`, fmt.Sprintf("-d %s/32", s.ClusterIP)})
		if s.spec.Ingress.IsValid() {
			traces = append(traces, []string{`"` + name + ` loadbalancer IP"`, fmt.Sprintf("-d %s/32", s.spec.Ingress)})
		}
		for _, e := range s.spec.Endpoints {
			traces = append(traces, []string{`"` + name + `"`, fmt.Sprintf("--to-destination %s:%d", e.Addr, s.spec.Target)})
		}
		return traces
	}
	name := fmt.Sprintf("default/%s/tcp/%s", s.Name, s.port)
	traces = append(traces, []string{fmt.Sprintf("%s . tcp . %d : goto service-", s.ClusterIP, s.spec.Port)})
	if s.spec.Ingress.IsValid() {
		traces = append(traces, []string{fmt.Sprintf("%s . tcp . %d : goto external-", s.spec.Ingress, s.spec.Port)})
	}
	for _, e := range s.spec.Endpoints {
		traces = append(traces, []string{"chain endpoint-", fmt.Sprintf("%s__%s/%d", name, e.Addr, s.spec.Target)})
	}
	return traces
}

// hasLine tells whether a line of the text holds every part.
func hasLine(text string, parts []string) bool {
	for line := range strings.Lines(text) {
		if hasAll(line, parts) {
			return true
		}
	}
	return false
}

func hasAll(line string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(line, part) {
			return false
		}
	}
	return true
}
