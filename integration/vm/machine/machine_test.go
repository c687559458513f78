package machine_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/podlan/podlan/integration/debs"
	"github.com/podlan/podlan/integration/vm/agent"
	"github.com/podlan/podlan/integration/vm/machine"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

func TestMain(m *testing.M) {
	agent.Main()
	os.Exit(m.Run())
}

// One boot for all: it takes seconds. The last command ends the guest.
func TestAMachineRunsTheHostsPrograms(t *testing.T) {
	m, err := machine.Boot(t.Context(), machine.Options{NICs: 2})
	if errors.Is(err, debs.ErrUnavailable) && rtnltest.ProbeVLAN() == nil {
		t.Skipf("this machine needs no other kernel and gets none: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("of the host\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		script         string
		code           int
		stdout, stderr string
	}{
		"its own kernel":          {"uname -r", 0, m.Release + "\n", ""},
		"an exit code":            {"exit 3", 3, "", ""},
		"a signal":                {"kill -9 $$", 128 + 9, "", ""},
		"two streams, as written": {`printf '{"a":1}\r\n{"b"'; echo no >&2`, 0, "{\"a\":1}\r\n{\"b\"", "no\n"},
		"the host's files, kept":  {"cat file; echo guest >file; cat file", 0, "of the host\nguest\n", ""},
		"the environment":         {"echo $PODLAN_TEST", 0, "given\n", ""},
		"two NICs":                {"cat /sys/class/net/eth1/address", 0, "52:54:00:12:34:57\n", ""},
		"modules at hand":         {"cd /sys/module && ls -d 8021q br_netfilter ip_vs nft_meta_bridge", 0, "8021q\nbr_netfilter\nip_vs\nnft_meta_bridge\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr, err := sh(t.Context(), m, dir, test.script)
			if err != nil || code != test.code || stdout != test.stdout || stderr != test.stderr {
				t.Errorf("got %d, %q, %q, %v; want %d, %q, %q", code, stdout, stderr, err, test.code, test.stdout, test.stderr)
			}
		})
	}
	content, err := os.ReadFile(filepath.Join(dir, "file"))
	if err != nil || string(content) != "of the host\n" {
		t.Errorf("the guest wrote to the host's file: %q, %v", content, err)
	}
	if _, err := m.Run(t.Context(), command(dir, filepath.Join(dir, "none"))); !errors.Is(err, machine.ErrNotRun) {
		t.Errorf("a program that is not there: %v", err)
	}
	killedAtItsDeadline(t, m, dir)
	_, _, _, err = sh(t.Context(), m, dir, "echo c >/proc/sysrq-trigger; sleep 1000")
	if err == nil || !strings.Contains(err.Error(), "Kernel panic") {
		t.Errorf("a guest that panics is told by the end of its console; got %v", err)
	}
}

// The machine goes on after it.
func killedAtItsDeadline(t *testing.T, m *machine.Machine, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, _, _, err := sh(ctx, m, dir, "sleep 1000"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a command without end: %v", err)
	}
	if _, _, _, err := sh(ctx, m, dir, "sleep 1000"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a command whose time was over before it began: %v", err)
	}
	if code, stdout, _, err := sh(t.Context(), m, dir, "echo next"); err != nil || code != 0 || stdout != "next\n" {
		t.Errorf("the one after it: %d, %q, %v", code, stdout, err)
	}
}

func sh(ctx context.Context, m *machine.Machine, dir, script string) (code int, stdout, stderr string, err error) {
	var out, errs strings.Builder
	c := command(dir, "/bin/sh", "-c", script)
	c.Env, c.Stdout, c.Stderr = append(os.Environ(), "PODLAN_TEST=given"), &out, &errs
	code, err = m.Run(ctx, c)
	return code, out.String(), errs.String(), err
}

func command(dir string, args ...string) machine.Command {
	return machine.Command{Args: args, Dir: dir}
}
