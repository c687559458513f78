package integration_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/podlan/podlan/integration/lab"
)

// TestSTATUSNamesTheRuleThatPodlanCannotSet, as ADD does: the runtime's log has it
// though nobody asks podland.
func TestSTATUSNamesTheRuleThatPodlanCannotSet(t *testing.T) {
	t.Parallel()
	l := lab.New(t, options(t, lab.Options{Server: lab.None}))
	node := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	must(t, node.SetSysctl("net.bridge.bridge-nf-call-iptables", "1"))
	must(t, node.AddRoute(node.Iface, everywhere(), l.Gateway()))
	docker(t, node)
	broken := t.TempDir() // found before the machine's own, if it has one
	must(t, os.WriteFile(filepath.Join(broken, "iptables-nft"), []byte("#!/bin/false\n"), 0o700))
	node.AddEnv("PATH=" + broken)
	conf, pod := network(node, hostLocal(), object{"serviceCIDRs": []string{serviceCIDR}}), node.Pod("p1")
	told := func(verb string, call func()) {
		t.Helper()
		before := len(node.PluginLog())
		call()
		if log := node.PluginLog()[before:]; !strings.Contains(log, "iptables-nft -w -I FORWARD 1 -i lan0") {
			t.Errorf("%s says %q", verb, log)
		}
	}
	told("ADD", func() { attach(t, node, conf, pod) })
	told("STATUS", func() { must(t, node.Status(t.Context(), conf)) })
	detach(t, node, conf, pod)
}
