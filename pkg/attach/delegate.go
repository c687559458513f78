package attach

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/podlan/podlan/pkg/netconf"
)

// delegate runs the IPAM plugin.
type delegate struct {
	plugin  string // its type; empty: none
	path    []string
	stdin   []byte
	environ []string
	exec    invoke.Exec
}

func newDelegate(conf *netconf.Bridge, args *skel.CmdArgs, environ []string, stderr io.Writer) delegate {
	env := slices.Clone(environ)
	if conf.IPAM != netconf.TypeDHCP {
		// Others refuse to live with a MAC that is ours to set.
		env = append(env, "CNI_ARGS="+netconf.Without(args.Args, "MAC"))
	}
	return delegate{
		plugin:  conf.IPAM,
		path:    filepath.SplitList(args.Path),
		stdin:   args.StdinData,
		environ: env,
		exec:    &childExec{stderr: stderr},
	}
}

// handover tells podlan-dhcp, and whoever else reads it, about the port. The
// result of podlan-dhcp has to be one of CNI 1.1 whatever the runtime speaks: no
// older one can tell an MTU.
func (d *delegate) handover(h netconf.Handover) error {
	var conf map[string]json.RawMessage
	if err := json.Unmarshal(d.stdin, &conf); err != nil {
		return fmt.Errorf("hand the port over to %s: %w", d.plugin, err)
	}
	raw, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("hand the port over to %s: %w", d.plugin, err)
	}
	conf[netconf.HandoverKey] = raw
	if d.plugin == netconf.TypeDHCP {
		conf["cniVersion"] = json.RawMessage(strconv.Quote(current.ImplementedSpecVersion))
	}
	d.stdin, err = json.Marshal(conf)
	return err
}

func (d *delegate) add(ctx context.Context) (*current.Result, error) {
	path, err := d.find()
	if err != nil {
		return nil, err
	}
	res, err := invoke.ExecPluginWithResult(ctx, path, d.stdin, d.as("ADD"), d.exec)
	if err != nil {
		return nil, d.failed(ctx, "ADD", err)
	}
	result, err := current.NewResultFromResult(res)
	if err != nil {
		return nil, fmt.Errorf("result of IPAM plugin %s: %w", d.plugin, err)
	}
	if len(result.IPs) == 0 {
		return nil, types.NewError(types.ErrInvalidNetworkConfig, "IPAM plugin "+d.plugin+" returned no address", "")
	}
	return result, nil
}

// run calls any verb that has no result.
func (d *delegate) run(ctx context.Context, verb string) error {
	if d.plugin == "" {
		return nil
	}
	path, err := d.find()
	if err != nil {
		return err
	}
	if err := invoke.ExecPluginWithoutResult(ctx, path, d.stdin, d.as(verb), d.exec); err != nil {
		return d.failed(ctx, verb, err)
	}
	return nil
}

func (d *delegate) find() (string, error) {
	path, err := d.exec.FindInPath(d.plugin, d.path)
	if err != nil {
		return "", types.NewError(types.ErrInvalidNetworkConfig, fmt.Sprintf(`key "ipam.type": value %q is refused`, d.plugin),
			"allowed: a plugin in CNI_PATH ("+strings.Join(d.path, string(filepath.ListSeparator))+")")
	}
	return path, nil
}

// failed tells a delegate that answered from one that was cut off.
func (d *delegate) failed(ctx context.Context, verb string, err error) error {
	if ctx.Err() != nil {
		return types.NewError(types.ErrTryAgainLater, fmt.Sprintf("IPAM plugin %s did not finish %s within the budget", d.plugin, verb), err.Error())
	}
	return fmt.Errorf("IPAM plugin %s: %w", d.plugin, err)
}

// as is the delegate's environment for a verb.
func (d *delegate) as(verb string) environment {
	return environment(append(slices.Clone(d.environ), "CNI_COMMAND="+verb))
}

type environment []string

func (e environment) AsEnv() []string { return e }

// childExec runs plugins that do not outlive this process: a runtime kills its
// plugin and knows nothing of the plugin's children.
type childExec struct {
	stderr io.Writer
	version.PluginDecoder
}

// outputTime is what output may take to end once the plugin has.
const outputTime = 500 * time.Millisecond

// ExecPlugin implements invoke.Exec.
func (e *childExec) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	// PR_SET_PDEATHSIG goes by the thread that forked, not by the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const tries, pause = 5, 100 * time.Millisecond
	for try := 1; ; try++ {
		out, err := e.once(ctx, path, stdin, environ)
		// An installer may be writing the binary right now.
		if !errors.Is(err, syscall.ETXTBSY) || try == tries {
			return out, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

func (e *childExec) once(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	var stdout bytes.Buffer
	cmd := exec.CommandContext(ctx, path)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = environ, bytes.NewReader(stdin), &stdout, e.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// A child of the plugin's may hold its output open when the plugin has
	// ended, or was killed for the budget.
	cmd.WaitDelay = outputTime
	err := cmd.Run()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return stdout.Bytes(), nil
	}
	var cniErr types.Error
	if json.Unmarshal(stdout.Bytes(), &cniErr) == nil && cniErr.Msg != "" {
		return nil, &cniErr
	}
	return nil, fmt.Errorf("%s: %w", path, err)
}

// FindInPath implements invoke.Exec.
func (e *childExec) FindInPath(plugin string, paths []string) (string, error) {
	return invoke.FindInPath(plugin, paths)
}
