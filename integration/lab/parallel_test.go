package lab_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/podlan/podlan/integration/lab"
)

// Two hundred ADDs at once each run in their own node's namespace.
func TestManyAtOnce(t *testing.T) {
	l := lab.New(t, lab.Options{Server: lab.None, Bin: fakePlugins(t)})
	nodes := []*lab.Node{l.Node("n1", lab.NodeOptions{}), l.Node("n2", lab.NodeOptions{})}
	var group sync.WaitGroup
	for i := range 200 {
		group.Go(func() {
			n := nodes[i%2]
			inode, err := n.Inode()
			if err != nil {
				t.Error(err)
				return
			}
			pod, err := n.NewPod(fmt.Sprintf("p%d", i))
			if err != nil {
				t.Error(err)
				return
			}
			conf := []byte(`{"cniVersion":"1.0.0","name":"lan","type":"podlan-bridge"}`)
			if _, err = n.Add(t.Context(), conf, pod); !strings.Contains(err.Error(), fmt.Sprintf("net:[%d]", inode)) {
				t.Errorf("not in net:[%d]: %v", inode, err)
			}
		})
	}
	group.Wait()
}

// Confs get the node's paths where our plugins are named, and nowhere else;
// what is there stays.
func TestConf(t *testing.T) {
	l := lab.New(t, lab.Options{Server: lab.None, Bin: t.TempDir()})
	n := l.Node("n1", lab.NodeOptions{})
	for name, c := range map[string]struct {
		conf       any
		want, lack []string
	}{
		"ours":        {`{"type":"podlan-bridge","ipam":{"type":"podlan-dhcp"}}`, []string{n.StateDir(), n.Socket()}, nil},
		"ours, list":  {`{"plugins":[{"type":"podlan-bridge"}]}`, []string{n.StateDir()}, []string{n.Socket()}},
		"only IPAM":   {`{"type":"bridge","ipam":{"type":"podlan-dhcp"}}`, []string{n.StateDir(), n.Socket()}, nil},
		"others'":     {`{"type":"bridge","ipam":{"type":"dhcp"}}`, nil, []string{n.StateDir(), n.Socket()}},
		"own path":    {`{"type":"podlan-bridge","stateDir":"/x","mtu":1500}`, []string{`"/x"`, "1500"}, []string{n.StateDir()}},
		"not JSON":    {`{"type":`, []string{`{"type":`}, nil},
		"from values": {map[string]any{"type": "podlan-bridge"}, []string{n.StateDir()}, nil},
	} {
		got := string(n.Conf(c.conf))
		for _, w := range c.want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: no %s in %s", name, w, got)
			}
		}
		for _, w := range c.lack {
			if strings.Contains(got, w) {
				t.Errorf("%s: %s in %s", name, w, got)
			}
		}
	}
}

// State files are told, locks are not.
func TestStateFiles(t *testing.T) {
	l := lab.New(t, lab.Options{Server: lab.None, Bin: t.TempDir()})
	n := l.Node("n1", lab.NodeOptions{})
	if files, err := n.StateFiles(); err != nil || len(files) != 0 {
		t.Errorf("files %v, error %v in a folder that is not there", files, err)
	}
	for _, name := range []string{"leases/a.json", "leases/lock"} {
		path := filepath.Join(n.StateDir(), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if files, err := n.StateFiles(); err != nil || len(files) != 1 || files[0] != "leases/a.json" {
		t.Errorf("files %v, error %v", files, err)
	}
}
