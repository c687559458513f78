package lab

import (
	"maps"
	"path/filepath"
	"time"
)

// Object is a JSON object, to be written down in a test.
type Object = map[string]any

// usualBudget is what an ADD has where its network does not say.
const usualBudget = 30 * time.Second

// BridgeConf is a conf of podlan-bridge on lan0 for this node, with an IPAM plugin
// (none if empty), and what keys else. On a slow machine it has as much more time.
func (n *Node) BridgeConf(ipam Object, keys ...Object) []byte {
	n.lab.tb.Helper()
	conf := Object{"cniVersion": "1.1.0", "name": "lan", "type": "podlan-bridge", "bridge": "lan0"}
	if budget := Stretch(usualBudget); budget != usualBudget {
		conf["budget"] = budget.String()
	}
	if len(ipam) > 0 {
		conf["ipam"] = ipam
	}
	for _, more := range keys {
		maps.Copy(conf, more)
	}
	return n.Conf(conf)
}

// Leased is the IPAM that asks the LAN's DHCP server.
func Leased() Object { return Object{"type": "podlan-dhcp"} }

// HostLocal is the IPAM that gives addresses of Options.Subnet's default.
func HostLocal() Object {
	return Object{"type": "host-local", "subnet": "198.18.0.0/16", "rangeStart": "198.18.77.1", "rangeEnd": "198.18.77.200"}
}

// ReferencePlugins returns the folder of the plugins that ours are compared with,
// for Options.CNIPath.
func ReferencePlugins(tb TB) string {
	tb.Helper()
	root, err := ModuleRoot()
	if err != nil {
		tb.Fatalf("lab: %v", err)
	}
	return filepath.Join(root, "bin", "reference")
}
