package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/containernetworking/cni/pkg/invoke"
)

// Cmd is a program to be run in a namespace. Start and Run enter it; the rest
// is exec.Cmd's. It dies with this process.
type Cmd struct {
	*exec.Cmd
	ns *Netns
	// Out and Err collect what it prints. To be read when it has ended.
	Out, Err bytes.Buffer
}

// Command prepares a program to be run in the namespace.
func (n *Netns) Command(ctx context.Context, path string, args ...string) *Cmd {
	c := &Cmd{Cmd: exec.CommandContext(ctx, path, args...), ns: n}
	c.Env = os.Environ()
	c.Stdout, c.Stderr = &c.Out, &c.Err
	dieWithUs(c.Cmd)
	return c
}

// Start starts the program in its namespace.
func (c *Cmd) Start() error { return c.ns.Do(c.Cmd.Start) }

// Run starts the program in its namespace and waits for its end.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the program and returns what it printed to standard output.
func (c *Cmd) Output() ([]byte, error) {
	if err := c.Run(); err != nil {
		return c.Out.Bytes(), fmt.Errorf("%s: %w: %s", c.Path, err, tail(c.Err.String(), 10))
	}
	return c.Out.Bytes(), nil
}

// PID returns the process ID of a started program.
func (c *Cmd) PID() int { return c.Process.Pid }

// PluginCmd prepares one plugin's call without libcni, for tests that want its
// bare input and output or kill it half way: verb is CNI_COMMAND, conf goes to
// its standard input as it is, and the program is the one that conf's type, or
// its first plugin's, names. Out has the result or the error.
func (n *Node) PluginCmd(ctx context.Context, verb string, conf []byte, pod *Pod, at ...Attachment) (*Cmd, error) {
	conf, name := firstPlugin(conf)
	path, err := invoke.FindInPath(name, n.cniPath())
	if err != nil {
		return nil, err
	}
	rt := runtimeConf(pod, at)
	c := n.Command(ctx, path)
	c.Stdin = bytes.NewReader(conf)
	c.Env = append(c.Env, n.extraEnv()...)
	c.Env = append(c.Env, "CNI_COMMAND="+verb, "CNI_CONTAINERID="+rt.ContainerID, "CNI_NETNS="+rt.NetNS,
		"CNI_IFNAME="+rt.IfName, "CNI_ARGS="+joinArgs(rt.Args), "CNI_PATH="+strings.Join(n.cniPath(), ":"))
	return c, nil
}

// firstPlugin returns what libcni would give the first plugin, and its type.
// What it cannot read goes to podlan-bridge as it is.
func firstPlugin(conf []byte) ([]byte, string) {
	var list struct {
		Name       string           `json:"name"`
		CNIVersion string           `json:"cniVersion"`
		Type       string           `json:"type"`
		Plugins    []map[string]any `json:"plugins"`
	}
	if json.Unmarshal(conf, &list) != nil || (list.Type == "" && len(list.Plugins) == 0) {
		return conf, "podlan-bridge"
	}
	if len(list.Plugins) == 0 {
		return conf, list.Type
	}
	first := list.Plugins[0]
	first["name"], first["cniVersion"] = list.Name, list.CNIVersion
	raw, err := json.Marshal(first)
	name, ok := first["type"].(string)
	if err != nil || !ok {
		return conf, "podlan-bridge"
	}
	return raw, name
}

func joinArgs(args [][2]string) string {
	pairs := make([]string, len(args))
	for i, a := range args {
		pairs[i] = a[0] + "=" + a[1]
	}
	return strings.Join(pairs, ";")
}
