package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/podlan/podlan/integration/lab"
)

func startFakePodland(t *testing.T, n *lab.Node, opts ...lab.PodlandOptions) *lab.Process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	n.AddEnv("PODLAN_LAB_TEST=podland")
	o := lab.PodlandOptions{}
	if len(opts) > 0 {
		o = opts[0]
	}
	o.Binary = self
	return n.StartPodland(o)
}

// podland is known to live when StartPodland returns, and to be dead when
// KillPodland does; its log outlives it.
func TestKillPodland(t *testing.T) {
	l := lab.New(t, lab.Options{Server: lab.None})
	n := l.Node("n1", lab.NodeOptions{})
	first := startFakePodland(t, n)
	n.KillPodland()
	if first.Running() {
		t.Error("it runs after KillPodland")
	}
	second := startFakePodland(t, n)
	n.StopPodland()
	if second.Running() {
		t.Error("it runs after StopPodland")
	}
	if got := strings.Count(n.PodlandLog(), "listening"); got != 2 {
		t.Errorf("the log tells of %d starts, want 2:\n%s", got, n.PodlandLog())
	}
}

func TestUnprivilegedPodland(t *testing.T) {
	l := lab.New(t, lab.Options{Server: lab.None})
	n := l.Node("n1", lab.NodeOptions{})
	// The test binary is in a folder of root's.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	copyTo := filepath.Join(l.Dir(), "podland")
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copyTo, b, 0o755); err != nil {
		t.Fatal(err)
	}
	n.AddEnv("PODLAN_LAB_TEST=podland")
	p := n.StartPodland(lab.PodlandOptions{Binary: copyTo, Unprivileged: true})
	status, err := os.ReadFile(filepath.Join("/proc", itoa(p.PID()), "status"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Uid:\t65534", "CapEff:\t0000000000003000"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("no %q in its status:\n%s", want, status)
		}
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

// Plugins run in the node's namespace, with what the runtime passes.
func TestPluginRunsOnNode(t *testing.T) {
	l := lab.New(t, lab.Options{Server: lab.None, Bin: fakePlugins(t)})
	n := l.Node("n1", lab.NodeOptions{})
	p := n.Pod("p1")
	conf := n.Conf(`{"cniVersion":"1.0.0","name":"lan","plugins":[{"type":"podlan-bridge","ipam":{"type":"podlan-dhcp"}}]}`)
	_, err := n.Add(t.Context(), conf, p, lab.Attachment{Args: [][2]string{{"K8S_POD_NAME", "web"}}})
	var cniErr *types.Error
	if !errors.As(err, &cniErr) {
		t.Fatalf("got %v, want the plugin's error", err)
	}
	inode, err := n.Inode()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"net:[" + itoa(int(inode)) + "]", "ADD", p.Path(), "K8S_POD_NAME=web", n.StateDir(), n.Socket()} {
		if !strings.Contains(cniErr.Details, want) {
			t.Errorf("no %q in what the plugin saw: %s", want, cniErr.Details)
		}
	}
	if !strings.Contains(n.PluginLog(), "to stderr") {
		t.Errorf("its log is not kept: %q", n.PluginLog())
	}
}

// fakePlugins makes a podlan-bridge that tells what it saw in its error, and
// waits for a child called sleeper if CNI_ARGS says so.
func fakePlugins(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	script := `#!/bin/sh
case "$CNI_ARGS" in *WAIT=1*) sleep 1000; exit 1;; esac
echo to stderr >&2
saw="$(readlink /proc/self/ns/net) $CNI_COMMAND $CNI_NETNS $CNI_ARGS $(cat | tr -d '"\n')"
printf '{"code":7,"msg":"no","details":"%s"}' "$saw"
exit 1
`
	if err := os.WriteFile(filepath.Join(dir, "podlan-bridge"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A plugin and its child can be found and killed half way.
func TestPluginCmd(t *testing.T) {
	l := lab.New(t, lab.Options{Server: lab.None, Bin: fakePlugins(t)})
	n := l.Node("n1", lab.NodeOptions{})
	p := n.Pod("p1")
	conf := n.Conf(map[string]any{"cniVersion": "1.0.0", "name": "lan", "type": "podlan-bridge"})
	c, err := n.PluginCmd(context.WithoutCancel(t.Context()), "ADD", conf, p, lab.Attachment{Args: [][2]string{{"WAIT", "1"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	child, err := lab.AwaitChild(t.Context(), c.PID(), "sleep")
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{c.PID(), child} {
		proc, err := os.FindProcess(pid)
		if err != nil {
			t.Fatal(err)
		}
		if err := proc.Kill(); err != nil {
			t.Error(err)
		}
	}
	if err := c.Wait(); err == nil {
		t.Error("a killed plugin ends without an error")
	}
	bare, err := n.PluginCmd(t.Context(), "VERSION", conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := bare.Run(); err == nil || !strings.Contains(bare.Out.String(), "VERSION") {
		t.Errorf("error %v, output %s", err, &bare.Out)
	}
}
