package house

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/podlan/podlan/integration/debs"
	"github.com/podlan/podlan/integration/lab"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// tools are Debian's programs of iptables where nobody may reach them.
func tools(t *testing.T, l *lab.Lab) (dir string, env []string) {
	t.Helper()
	tool, err := debs.Find(t.Context(), "iptables")
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(l.Dir(), "iptables")
	if err := os.CopyFS(root, os.DirFS(tool.Root)); err != nil {
		t.Fatal(err)
	}
	for _, e := range tool.Env {
		env = append(env, strings.ReplaceAll(e, tool.Root, root))
	}
	return filepath.Join(root, "usr/sbin"), env
}

// sandboxed makes the test binary the program in the sandbox, where nobody may reach
// both.
func sandboxed(t *testing.T, l *lab.Lab) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(l.Dir(), "in-its-unit")
	copyFile(t, self, to)
	return to
}

const podlandUnit, podAccess = "install/podland.service", "install/podland.service.d/pod-access.conf"

// TestPodlandWorksInTheSandboxOfItsUnit: it leases, and puts back what somebody has
// changed of the node's side, by iptables and by a sysctl too.
func TestPodlandWorksInTheSandboxOfItsUnit(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a sandbox takes root")
	}
	command(t, "make", "build")
	backends := []string{"nft", "legacy"}
	for name, files := range map[string][]string{"as installed": {podlandUnit}, "with Pod access": {podlandUnit, podAccess}} {
		t.Run(name, func(t *testing.T) {
			l := lab.New(t, lab.Options{Server: lab.Embedded})
			n := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
			dir, env := tools(t, l)
			podland := filepath.Join(l.Dir(), "podland")
			copyFile(t, filepath.Join(root, "bin/podland"), podland)
			box := unitSandbox(t, files...)
			box.Program, box.Writable = podland, []string{n.Dir(), n.StateDir()}
			n.AddEnv(append(env, "PATH="+dir, box.env(t))...)
			for _, sysctl := range []string{"net.ipv4.ip_forward", "net.bridge.bridge-nf-call-iptables"} {
				must(t, n.SetSysctl(sysctl, "1"))
			}
			run := func(args ...string) string {
				cmd := n.Command(t.Context(), filepath.Join(dir, args[0]), args[1:]...)
				// The machine's own lock would be everybody's.
				cmd.Env = append(append(cmd.Env, env...), "XTABLES_LOCKFILE="+filepath.Join(l.Dir(), "xtables.lock"))
				out, err := cmd.Output()
				must(t, err)
				return string(out)
			}
			for _, backend := range backends {
				run("iptables-"+backend, "-P", "FORWARD", "DROP")
			}
			n.StartPodland(lab.PodlandOptions{Binary: sandboxed(t, l)})
			conf := n.Conf(map[string]any{
				"cniVersion": "1.1.0", "name": "lan", "type": "podlan-bridge", "bridge": "lan0",
				"serviceCIDRs": []string{"10.96.0.0/12"}, "ipam": map[string]any{"type": "podlan-dhcp"},
			})
			pod := n.Pod("p1")
			_, err := n.Add(t.Context(), conf, pod)
			must(t, err)
			for _, backend := range backends {
				rules := run("iptables-"+backend, "-S", "FORWARD")
				if strings.Count(rules, "podlan:") != 3 {
					t.Fatalf("ADD has made of FORWARD, %s:\n%s", backend, rules)
				}
				run("iptables-"+backend, "-F", "FORWARD")
				lab.Eventually(t, "FORWARD is as before", func() error {
					if now := run("iptables-"+backend, "-S", "FORWARD"); now != rules {
						return fmt.Errorf("FORWARD, %s, is\n%s", backend, now)
					}
					return nil
				})
			}
			must(t, n.SetSysctl("net.ipv4.ip_forward", "0"))
			lab.Eventually(t, "the node forwards", func() error {
				if now, err := n.Sysctl("net.ipv4.ip_forward"); err != nil || now != "1" {
					return errors.Join(err, errors.New("ip_forward is "+now))
				}
				return nil
			})
			lab.Eventually(t, "nothing is left to be done by hand", func() error { return contented(n) })
			must(t, n.Check(t.Context(), conf, pod))
			must(t, n.Del(t.Context(), conf, pod))
		})
	}
}

// TestBothBackendsOfIPTablesRunInTheSandbox, which podland leaves to the program: with
// a lock of its own, since the machine's is root's.
func TestBothBackendsOfIPTablesRunInTheSandbox(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a sandbox takes root")
	}
	l := lab.New(t, lab.Options{Server: lab.None})
	n := l.Node("n1", lab.NodeOptions{Bridge: "lan0"})
	dir, env := tools(t, l)
	self := sandboxed(t, l)
	box := unitSandbox(t, podlandUnit)
	box.Writable = []string{n.Dir()}
	const rule = "FORWARD -i lan0 -m physdev --physdev-is-bridged -j ACCEPT"
	for _, backend := range []string{"nft", "legacy"} {
		for _, args := range []string{"-w -A " + rule, "-w -S FORWARD"} {
			box.Program = filepath.Join(dir, "iptables-"+backend)
			cmd := n.Command(t.Context(), self, strings.Fields(args)...)
			cmd.Env = append(append(cmd.Env, env...), box.env(t), "XTABLES_LOCKFILE="+filepath.Join(n.Dir(), "xtables.lock"))
			out, err := cmd.Output()
			must(t, err)
			if strings.Contains(args, "-S") && !strings.Contains(string(out), "-A "+rule) {
				t.Errorf("%s: FORWARD is\n%s", backend, out)
			}
		}
	}
}

func TestTheSandboxHolds(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a sandbox takes root")
	}
	l := lab.New(t, lab.Options{Server: lab.None})
	n := l.Node("n1", lab.NodeOptions{})
	box := unitSandbox(t, podlandUnit)
	box.Writable = []string{n.Dir()}
	run := func(program string, args ...string) (string, error) {
		box.Program = program
		cmd := n.Command(t.Context(), sandboxed(t, l), args...)
		cmd.Env = append(cmd.Env, box.env(t))
		out, err := cmd.Output()
		return string(out), err
	}
	status, err := run("/bin/cat", "/proc/self/status")
	must(t, err)
	for _, want := range []string{"Uid:\t65534", "CapEff:\t0000000000003000", "CapBnd:\t0000000000003000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(status, want) {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
	for _, path := range []string{"/run", "/proc/sys/net/core/somaxconn", "/root"} {
		if _, err := run("/bin/sh", "-c", "test -w "+path); err == nil {
			t.Errorf("%s is writable", path)
		}
	}
}

// contented is nil if podland's status complains of nothing.
func contented(n *lab.Node) error {
	client := n.PodlandClient()
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://podland" + leaseapi.PathStatus)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var status leaseapi.Status
	if err := json.NewDecoder(resp.Body).Decode(&status); err != nil || resp.StatusCode != http.StatusOK {
		return errors.Join(err, errors.New(resp.Status))
	}
	if s := status.Services; s == nil || s.Problem != "" || len(s.ByHand)+len(s.Behind) > 0 {
		return fmt.Errorf("services: %+v\n%s", s, n.PodlandLog())
	}
	return nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
