package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// PodlandOptions say how podland runs.
type PodlandOptions struct {
	// Binary defaults to podland in the lab's Bin.
	Binary string
	// Args are added to --socket and --state-dir.
	Args []string
	// Unprivileged runs it as the user nobody with the two capabilities that
	// the unit file gives, NET_ADMIN and NET_RAW.
	Unprivileged bool
}

// nobody is the user and group of an unprivileged podland.
const nobody = 65534

// StartPodland starts podland in the node's namespace and waits until it
// answers on its socket.
func (n *Node) StartPodland(opts ...PodlandOptions) *Process {
	n.lab.tb.Helper()
	var o PodlandOptions
	if len(opts) > 0 {
		o = opts[0]
	}
	p, err := n.startPodland(n.lab.tb.Context(), o)
	if err != nil {
		n.lab.tb.Fatalf("lab: node %s: %v", n.name, err)
	}
	return p
}

func (n *Node) startPodland(ctx context.Context, o PodlandOptions) (*Process, error) {
	if o.Binary == "" {
		o.Binary = filepath.Join(n.lab.opts.Bin, "podland")
	}
	if err := n.prepareState(o); err != nil {
		return nil, err
	}
	cmd := exec.Command(o.Binary, append([]string{"--socket", n.Socket(), "--state-dir", n.StateDir()}, o.Args...)...)
	cmd.Env = append(os.Environ(), n.extraEnv()...)
	if o.Unprivileged {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential:  &syscall.Credential{Uid: nobody, Gid: nobody},
			AmbientCaps: []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW},
		}
	}
	p, err := n.lab.startProcess(n.Netns, "podland", cmd, n.podlandLogPath())
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.podland = p
	n.mu.Unlock()
	return p, p.awaitReady(ctx, n.healthy)
}

// prepareState makes the folders that systemd would make: StateDirectory and
// RuntimeDirectory, owned by podland's user.
func (n *Node) prepareState(o PodlandOptions) error {
	if err := os.MkdirAll(n.StateDir(), 0o700); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	if !o.Unprivileged {
		return nil
	}
	for _, dir := range []string{n.dir, n.StateDir()} {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			return fmt.Errorf("state folder: %w", err)
		}
	}
	return nil
}

// healthy asks podland's /healthz.
func (n *Node) healthy() error {
	client := n.PodlandClient()
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://podland/healthz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/healthz: %s", resp.Status)
	}
	return nil
}

// PodlandClient returns an HTTP client to podland's socket; the URL's host does
// not matter.
func (n *Node) PodlandClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", n.Socket())
		},
	}}
}

// Podland returns the process that was started last, nil if there was none.
func (n *Node) Podland() *Process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.podland
}

// KillPodland kills podland with SIGKILL and waits for its end.
func (n *Node) KillPodland() {
	n.lab.tb.Helper()
	p := n.Podland()
	if p == nil {
		n.lab.tb.Fatalf("lab: node %s: podland was not started", n.name)
	}
	p.Kill()
}

// StopPodland ends podland with SIGTERM and waits for its end.
func (n *Node) StopPodland() {
	n.lab.tb.Helper()
	p := n.Podland()
	if p == nil {
		n.lab.tb.Fatalf("lab: node %s: podland was not started", n.name)
	}
	if err := p.Stop(); err != nil {
		n.lab.tb.Fatalf("lab: node %s: %v", n.name, err)
	}
}

func (n *Node) podlandLogPath() string { return filepath.Join(n.dir, "podland.log") }

// PodlandLog returns what every podland of the node has printed so far.
func (n *Node) PodlandLog() string {
	b, err := os.ReadFile(n.podlandLogPath())
	if err != nil {
		return ""
	}
	return string(b)
}
