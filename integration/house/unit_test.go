package house

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/pkg/leaseapi"
)

// podland serves with what its unit leaves it: a user that is not root, the
// unit's capabilities, the unit's command line. systemd itself is not needed.
func TestPodlandServesAsItsUnitRunsIt(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("dropping to another user takes root")
	}
	command(t, "make", "build")
	dir := t.TempDir()
	chown(t, filepath.Dir(dir), nobody) // 0700, and the way to dir
	chown(t, dir, nobody)
	program, err := filepath.Abs(filepath.Join(root, "bin/podland"))
	if err != nil {
		t.Fatal(err)
	}
	// A copy: nobody may be unable to reach the work tree.
	podland := filepath.Join(dir, "podland")
	copyFile(t, program, podland)

	unit := string(read(t, "install/podland.service"))
	line := setting(t, unit, "ExecStart")
	line = strings.NewReplacer("/usr/sbin/podland", podland, "/run/podlan", dir, "/var/lib/podlan", dir+"/state").Replace(line)
	argv := strings.Fields(line)

	var log strings.Builder
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = []string{}
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential:   &syscall.Credential{Uid: nobody, Gid: nobody},
		AmbientCaps:  capabilities(t, setting(t, unit, "AmbientCapabilities")),
		Unshareflags: syscall.CLONE_NEWNET,
		Pdeathsig:    syscall.SIGKILL,
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()

	for !healthy(t, filepath.Join(dir, "podland.sock")) {
		select {
		case err := <-exited:
			t.Fatalf("podland ended: %v\n%s", err, log.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-exited; err != nil {
		t.Errorf("podland on SIGTERM, as systemctl stop sends it: %v\n%s", err, log.String())
	}
}

// healthy asks podland as the plugin does, as root.
func healthy(t *testing.T, socket string) bool {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://podland" + leaseapi.PathHealth)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode < 300
}

// setting returns the value of a setting that the unit makes once.
func setting(t *testing.T, unit, name string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^`+name+`=(.*)$`).FindAllStringSubmatch(unit, -1)
	if len(found) != 1 {
		t.Fatalf("the unit sets %s %d times, not once", name, len(found))
	}
	return found[0][1]
}

func capabilities(t *testing.T, names string) []uintptr {
	t.Helper()
	known := map[string]uintptr{"CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_NET_RAW": unix.CAP_NET_RAW}
	var caps []uintptr
	for name := range strings.FieldsSeq(names) {
		number, ok := known[name]
		if !ok {
			t.Fatalf("the unit grants %s: more than the design allows podland", name)
		}
		caps = append(caps, number)
	}
	return caps
}

func chown(t *testing.T, path string, id int) {
	t.Helper()
	if err := os.Chown(path, id, id); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}
