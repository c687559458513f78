package lab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
)

// Conf returns a conf or conflist for this node: given as JSON text or as a
// value that encoding/json writes, with the node's own paths put in where
// Podlan's plugins are named (stateDir, ipam.daemonSocketPath), and where
// host-local is (ipam.dataDir). Keys that are
// there already stay. Text that is not JSON is returned as it is, for tests
// that want it so.
func (n *Node) Conf(conf any) []byte {
	n.lab.tb.Helper()
	raw, err := confText(conf)
	if err != nil {
		n.lab.tb.Fatalf("lab: conf: %v", err)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber() // numbers stay as they were written
	var top map[string]any
	if dec.Decode(&top) != nil {
		return raw
	}
	if list, ok := top["plugins"].([]any); ok {
		for _, plugin := range list {
			n.localize(plugin)
		}
	} else {
		n.localize(top)
	}
	out, err := json.MarshalIndent(top, "", "  ")
	if err != nil {
		n.lab.tb.Fatalf("lab: conf: %v", err)
	}
	return out
}

func confText(conf any) ([]byte, error) {
	switch c := conf.(type) {
	case string:
		return []byte(c), nil
	case []byte:
		return c, nil
	}
	raw, err := json.Marshal(conf)
	if err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	return raw, nil
}

// localize puts the node's paths into one plugin's conf.
func (n *Node) localize(plugin any) {
	p, ok := plugin.(map[string]any)
	if !ok {
		return
	}
	ipam, _ := p["ipam"].(map[string]any)
	leases := ipam["type"] == "podlan-dhcp"
	if leases {
		setDefault(ipam, "daemonSocketPath", n.Socket())
	}
	if ipam["type"] == "host-local" { // whose default is the machine's own folder
		setDefault(ipam, "dataDir", filepath.Join(n.Dir(), "host-local"))
	}
	if leases || p["type"] == "podlan-bridge" {
		setDefault(p, "stateDir", n.StateDir())
	}
}

func setDefault(m map[string]any, key string, value any) {
	if _, ok := m[key]; !ok {
		m[key] = value
	}
}
