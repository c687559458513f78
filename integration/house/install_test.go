package house

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const unit = "/usr/lib/systemd/system/podland.service"

func TestInstall(t *testing.T) {
	dest := t.TempDir()
	command(t, "make", "install", "DESTDIR="+dest)

	want := map[string]fs.FileMode{
		"/opt/cni/bin/podlan-bridge":      0o755,
		"/opt/cni/bin/podlan-dhcp":        0o755,
		"/usr/bin/podlan":                 0o755,
		"/usr/sbin/podland":               0o755,
		unit:                              0o644,
		"/usr/lib/sysusers.d/podlan.conf": 0o644,
		"/usr/share/podlan/podland.service.d/pod-access.conf": 0o644,
		"/usr/share/podlan/conf/README.md":                    0o644,
	}
	files(t, "*.conflist", func(path string) {
		if filepath.Dir(path) == "conf" {
			want["/usr/share/podlan/"+path] = 0o644
		}
	})
	if diff := cmp.Diff(want, installed(t, dest)); diff != "" {
		t.Errorf("make install (-want +got):\n%s", diff)
	}
	t.Run("the unit starts what was installed", func(t *testing.T) {
		start := regexp.MustCompile(`(?m)^ExecStart=(\S+)`).FindStringSubmatch(string(read(t, "install/podland.service")))
		if start == nil || want[start[1]] != 0o755 {
			t.Errorf("ExecStart %q is not among the installed programs", start)
		}
	})
	t.Run("the programs are static", func(t *testing.T) {
		for path, mode := range want {
			if mode != 0o755 {
				continue
			}
			out, err := exec.CommandContext(t.Context(), "go", "version", "-m", dest+path).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "CGO_ENABLED=0") {
				t.Errorf("%s: built with cgo, or not by Go: %v", path, err)
			}
		}
	})
	t.Run("systemd takes the unit", func(t *testing.T) { verify(t, dest) })
	t.Run("uninstall removes it all", func(t *testing.T) {
		command(t, "make", "uninstall", "DESTDIR="+dest)
		if left := installed(t, dest); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

// verify lets systemd's own tools judge the unit, where this machine has them:
// in a root of its own, so that this machine's units do not matter.
func verify(t *testing.T, dest string) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Log("no systemd-analyze here: the unit was not verified")
		return
	}
	// The targets that the unit refers to.
	for _, target := range []string{"sysinit", "basic", "multi-user", "shutdown"} {
		path := filepath.Join(dest, filepath.Dir(unit), target+".target")
		if err := os.WriteFile(path, []byte("[Unit]\nDescription="+target+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(path) })
	}
	if out := command(t, "systemd-analyze", "verify", "--root="+dest, "podland.service"); len(out) > 0 {
		t.Errorf("systemd-analyze verify: %s", out)
	}
	// The threshold is in tenths: exposure below 2.0.
	command(t, "systemd-analyze", "security", "--offline=true", "--root="+dest, "--threshold=19", "--no-pager", "podland.service")
}

// installed returns the files under dest and their permissions.
func installed(t *testing.T, dest string) map[string]fs.FileMode {
	t.Helper()
	found := map[string]fs.FileMode{}
	err := filepath.WalkDir(dest, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			found[strings.TrimPrefix(path, dest)] = info.Mode()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// command runs a program at the tree's root and returns what it printed. A
// surrounding make's flags are not passed on.
func command(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = root
	for _, kv := range os.Environ() {
		if key, _, _ := strings.Cut(kv, "="); key != "MAKEFLAGS" && key != "MFLAGS" && key != "MAKELEVEL" && key != "DESTDIR" && key != "PREFIX" {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}
