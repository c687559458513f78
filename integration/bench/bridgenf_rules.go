package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/podlan/podlan/integration/lab"
)

// forwardRules is how many rules FORWARD has.
const forwardRules = 1500

// manyRules is a FORWARD as an administrator's address lists or a policy engine
// make it: none of n rules but the last matches what a Pod sends.
func manyRules(n int) string {
	var b strings.Builder
	b.WriteString("*filter\n")
	for i := range n - 1 {
		fmt.Fprintf(&b, "-A FORWARD -s 10.244.%d.%d/32 -d 10.245.%d.%d/32 -j DROP\n", i>>8, i&255, i>>8, i&255)
	}
	b.WriteString("-A FORWARD -s 198.18.0.0/16 -j ACCEPT\nCOMMIT\n")
	return b.String()
}

// withServices is the network with a cluster's Services, under another name.
func withServices(conf []byte) ([]byte, error) {
	var list map[string]any
	if err := json.Unmarshal(conf, &list); err != nil {
		return nil, fmt.Errorf("shipped conf: %w", err)
	}
	list["name"] = "lan-services"
	plugins, _ := list["plugins"].([]any)
	for _, p := range plugins {
		if plugin, ok := p.(map[string]any); ok && plugin["type"] == "podlan-bridge" {
			plugin["serviceCIDRs"] = []string{"10.96.0.0/12"}
		}
	}
	return json.Marshal(list)
}

// plain is the reference's network. Whose its addresses are says nothing about
// its frames, so none is waited for.
func plain(node *lab.Node, i int) []byte {
	return node.Conf(fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "lan", "type": "bridge", "bridge": %q,
		"ipam": {"type": "host-local", "subnet": "198.18.0.0/16", "rangeStart": "198.18.%d.1"}}`, node.Bridge, 64+i))
}
