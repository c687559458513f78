package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

// nodeExec runs plugins in a node's namespace, for libcni.
type nodeExec struct {
	version.PluginDecoder
	node *Node
}

func newNodeExec(n *Node) invoke.Exec { return &nodeExec{node: n} }

// FindInPath implements invoke.Exec.
func (e *nodeExec) FindInPath(plugin string, paths []string) (string, error) {
	return invoke.FindInPath(plugin, paths)
}

// ExecPlugin implements invoke.Exec: the plugin's errors come back as
// *types.Error, as libcni's own exec returns them.
func (e *nodeExec) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, path)
	cmd.Env = slices.Concat(environ, e.node.extraEnv())
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	dieWithUs(cmd)
	if err := e.node.Do(cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	err := cmd.Wait()
	e.node.plugins.add(path, environ, stderr.String())
	if err == nil {
		return stdout.Bytes(), nil
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %w", path, errors.Join(context.Cause(ctx), err))
	}
	return nil, pluginError(err, stdout.Bytes(), stderr.String())
}

// pluginError reads the error that a plugin prints to its output.
func pluginError(err error, stdout []byte, stderr string) error {
	if len(bytes.TrimSpace(stdout)) == 0 {
		return fmt.Errorf("plugin printed no result and no error: %w: %s", err, stderr)
	}
	var e types.Error
	if jsonErr := json.Unmarshal(stdout, &e); jsonErr != nil {
		return fmt.Errorf("plugin's error %q: %w", stdout, errors.Join(jsonErr, err))
	}
	return &e
}

// pluginLog collects what plugins print beside their results.
type pluginLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *pluginLog) add(path string, environ []string, text string) {
	if text == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(&l.buf, "%s %s %s: %s\n", path, lookup(environ, "CNI_COMMAND"), lookup(environ, "CNI_CONTAINERID"), text)
}

// PluginLog returns what the plugins on the node printed to their standard
// error.
func (n *Node) PluginLog() string {
	n.plugins.mu.Lock()
	defer n.plugins.mu.Unlock()
	return n.plugins.buf.String()
}

func lookup(environ []string, key string) string {
	for _, e := range slices.Backward(environ) {
		if v, ok := strings.CutPrefix(e, key+"="); ok {
			return v
		}
	}
	return os.Getenv(key)
}
