package attach

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"

	"github.com/podlan/podlan/pkg/netconf"
)

// The test binary is run again as the IPAM plugin, or as a podlan-bridge that
// runs one: role says which, and the name says what the plugin does.
const role = "PODLAN_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "":
		os.Exit(m.Run())
	case "bridge":
		bridgeProcess()
	case "grandchild":
		_, _ = io.Copy(io.Discard, os.NewFile(3, "life"))
	default:
		pluginProcess(os.Getenv(role))
	}
}

// bridgeProcess delegates to a plugin that does not end.
func bridgeProcess() {
	d := delegate{plugin: "ipam", path: []string{os.Getenv("PODLAN_TEST_DIR")}, stdin: []byte(`{}`), exec: &childExec{stderr: os.Stderr}}
	d.environ = append(os.Environ(), role+"=hang")
	err := d.run(context.Background(), "ADD")
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func pluginProcess(does string) {
	switch does {
	case "answer":
		stdin, _ := io.ReadAll(os.Stdin)
		seen := map[string]string{"stdin": string(stdin), "args": os.Getenv("CNI_ARGS"), "verb": os.Getenv("CNI_COMMAND")}
		data, _ := json.Marshal(seen)
		_ = os.WriteFile(os.Getenv("PODLAN_TEST_SEEN"), data, 0o600)
		fmt.Fprint(os.Stdout, `{"cniVersion":"1.1.0","ips":[{"address":"192.0.2.7/24"}]}`)
	case "no address":
		fmt.Fprint(os.Stdout, `{"cniVersion":"1.1.0"}`)
	case "refuse":
		fmt.Fprint(os.Stdout, `{"cniVersion":"1.1.0","code":101,"msg":"no more","details":"pool is empty"}`)
		os.Exit(1)
	case "crash":
		fmt.Fprintln(os.Stderr, "panic: oh")
		os.Exit(2)
	case "babble":
		fmt.Fprint(os.Stdout, "not JSON")
	case "hang":
		// Tells that it runs, and ends only by a signal.
		_ = os.WriteFile(os.Getenv("PODLAN_TEST_SEEN"), []byte(fmt.Sprint(os.Getpid())), 0o600)
		life := os.NewFile(3, "life")
		_, _ = life.WriteString("x")
		select {}
	case "fork", "fork and hang":
		// Leaves a child behind that keeps the standard output open.
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), role+"=grandchild")
		cmd.Stdout = os.Stdout
		cmd.ExtraFiles = []*os.File{inherited()}
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		fmt.Fprint(os.Stdout, `{"cniVersion":"1.1.0","ips":[{"address":"192.0.2.7/24"}]}`)
		if does == "fork and hang" {
			select {}
		}
	}
	os.Exit(0)
}

// inherited opens the pipe whose writer is the test: the grandchild's life.
func inherited() *os.File {
	f, err := os.Open(os.Getenv("PODLAN_TEST_LIFE"))
	if err != nil {
		panic(err)
	}
	return f
}

// bin is a CNI_PATH with this binary as the plugin "ipam".
func bin(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	dir := t.TempDir()
	must(t, os.Symlink(self, filepath.Join(dir, "ipam")))
	must(t, os.Symlink(self, filepath.Join(dir, netconf.TypeDHCP)))
	return dir
}

// plugin is a delegate to a plugin that does what is said; seen is where it
// writes what it was given.
func plugin(t *testing.T, does string) (d delegate, seen string) {
	t.Helper()
	dir := bin(t)
	seen = filepath.Join(t.TempDir(), "seen")
	return delegate{
		plugin: "ipam", path: []string{dir}, stdin: []byte(`{"cniVersion":"1.1.0","name":"lan"}`),
		environ: append(os.Environ(), role+"="+does, "PODLAN_TEST_SEEN="+seen),
		exec:    &childExec{stderr: io.Discard},
	}, seen
}

func TestAPluginsResultIsTaken(t *testing.T) {
	d, seen := plugin(t, "answer")
	result, err := d.add(t.Context())
	must(t, err)
	if len(result.IPs) != 1 || result.IPs[0].Address.String() != "192.0.2.7/24" {
		t.Errorf("got %v", result)
	}
	if got := told(t, seen); got["verb"] != "ADD" {
		t.Errorf("CNI_COMMAND %q, want ADD", got["verb"])
	}
}

func TestAPluginsErrorPassesThrough(t *testing.T) {
	cases := map[string]struct {
		code uint
		say  []string
	}{
		"refuse":     {101, []string{"no more", "pool is empty"}},
		"crash":      {0, []string{"ipam", "exit status 2"}},
		"babble":     {0, []string{"ipam"}},
		"no address": {types.ErrInvalidNetworkConfig, []string{"ipam", "no address"}},
	}
	for does, c := range cases {
		t.Run(does, func(t *testing.T) {
			d, _ := plugin(t, does)
			_, err := d.add(t.Context())
			said(t, err, c.code, c.say...)
		})
	}
}

func TestAPluginThatIsMissingIsNamedWithItsPath(t *testing.T) {
	d := delegate{plugin: "whereabouts", path: []string{"/a", "/b"}, exec: &childExec{}}
	said(t, d.run(t.Context(), "DEL"), types.ErrInvalidNetworkConfig, "ipam.type", "whereabouts", "/a:/b")
	_, err := d.add(t.Context())
	said(t, err, types.ErrInvalidNetworkConfig, "whereabouts")
}

func TestWithoutAPluginNothingIsRun(t *testing.T) {
	d := delegate{exec: &childExec{}}
	must(t, d.run(t.Context(), "DEL"))
}

func TestAPluginThatDoesNotEndIsKilledForTheBudget(t *testing.T) {
	d, seen := plugin(t, "hang")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		awaitFile(seen)
		cancel()
	}()
	err := d.run(ctx, "ADD")
	said(t, err, types.ErrTryAgainLater, "ipam", "ADD", "budget")
	gone(t, seen)
}

// A daemon that the plugin started holds its output open: Wait would wait for
// it, for ever.
func TestAChildOfThePluginDoesNotHoldItsAnswerUp(t *testing.T) {
	for _, does := range []string{"fork", "fork and hang"} {
		t.Run(does, func(t *testing.T) {
			d, _ := plugin(t, does)
			life := filepath.Join(t.TempDir(), "life")
			must(t, syscall.Mkfifo(life, 0o600))
			w, err := os.OpenFile(life, os.O_RDWR, 0)
			must(t, err)
			defer func() { _ = w.Close() }() // and the grandchild ends
			d.environ = append(d.environ, "PODLAN_TEST_LIFE="+life)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if does == "fork" {
				result, err := d.add(ctx)
				must(t, err)
				if len(result.IPs) != 1 {
					t.Errorf("got %v", result)
				}
				return
			}
			ctx, stop := context.WithTimeout(ctx, 200*time.Millisecond)
			defer stop()
			_, err = d.add(ctx)
			said(t, err, types.ErrTryAgainLater, "ipam", "budget")
		})
	}
}

// A runtime kills its plugin, and knows nothing of the plugin's children.
func TestThePluginDiesWithItsParent(t *testing.T) {
	dir, seen := bin(t), filepath.Join(t.TempDir(), "seen")
	r, w, err := os.Pipe()
	must(t, err)
	defer func() { _ = r.Close() }()
	self, err := os.Executable()
	must(t, err)
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), role+"=bridge", "PODLAN_TEST_DIR="+dir, "PODLAN_TEST_SEEN="+seen)
	var stderr bytes.Buffer
	parent.Stderr = &stderr
	must(t, parent.Start())
	_ = w.Close()
	defer func() { _ = parent.Process.Kill() }()
	awaitFile(seen)
	must(t, parent.Process.Kill())
	_ = parent.Wait() // its pipe ends with the child's
	gone(t, seen)
}

func TestOnlyPodlansOwnIPAMIsToldTheMAC(t *testing.T) {
	const given = "IgnoreUnknown=1;MAC=02:00:00:00:00:01;K8S_POD_NAME=web"
	cases := map[string]string{
		netconf.TypeDHCP: given,
		"ipam":           "IgnoreUnknown=1;K8S_POD_NAME=web",
	}
	for name, want := range cases {
		t.Run(name, func(t *testing.T) {
			seen := filepath.Join(t.TempDir(), "seen")
			environ := append(os.Environ(), role+"=answer", "PODLAN_TEST_SEEN="+seen, "CNI_ARGS="+given, "CNI_COMMAND=ADD")
			args := &skel.CmdArgs{Args: given, Path: bin(t), StdinData: []byte(`{"cniVersion":"1.1.0"}`)}
			d := newDelegate(&netconf.Bridge{IPAM: name}, args, environ, io.Discard)
			must(t, d.run(t.Context(), "CHECK"))
			got := told(t, seen)
			if got["args"] != want || got["verb"] != "CHECK" {
				t.Errorf("CNI_ARGS %q, CNI_COMMAND %q; want %q, CHECK", got["args"], got["verb"], want)
			}
		})
	}
}

func TestTheHandoverIsAddedToTheConf(t *testing.T) {
	d := delegate{plugin: "ipam", stdin: []byte(`{"name":"lan","ipam":{"type":"ipam"},"large":12345678901234567890}`)}
	must(t, d.handover(netconf.Handover{MAC: "02:00:00:00:00:01", Bridge: "br0", From: netconf.FromPod, BudgetMS: 7}))
	must(t, d.handover(netconf.Handover{MAC: "02:00:00:00:00:01", Bridge: "br0", From: netconf.FromPod, BudgetMS: 5}))
	want := `{"ipam":{"type":"ipam"},"large":12345678901234567890,"name":"lan",` +
		`"podlan":{"mac":"02:00:00:00:00:01","bridge":"br0","from":"pod","budgetMS":5}}`
	if diff := cmp.Diff(want, string(d.stdin)); diff != "" {
		t.Errorf("stdin (-want +got):\n%s", diff)
	}
}

// No older result tells an MTU. Another plugin may not know CNI 1.1.
func TestPodlanDHCPIsAskedForAResultOfCNI11(t *testing.T) {
	for plugin, want := range map[string]string{netconf.TypeDHCP: "1.1.0", "host-local": "0.3.1"} {
		d := delegate{plugin: plugin, stdin: []byte(`{"cniVersion":"0.3.1"}`)}
		must(t, d.handover(netconf.Handover{}))
		var got struct{ CNIVersion string }
		must(t, json.Unmarshal(d.stdin, &got))
		if got.CNIVersion != want {
			t.Errorf("%s is called with CNI %s, want %s", plugin, got.CNIVersion, want)
		}
	}
}

func told(t *testing.T, seen string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(seen)
	must(t, err)
	var got map[string]string
	must(t, json.Unmarshal(data, &got))
	return got
}

// awaitFile returns when the file has something in it.
func awaitFile(path string) {
	for {
		if data, err := os.ReadFile(path); err == nil && len(data) > 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// gone returns when the process that wrote its number is dead; it fails with
// the test's own deadline.
func gone(t *testing.T, seen string) {
	t.Helper()
	data, err := os.ReadFile(seen)
	must(t, err)
	for t.Context().Err() == nil {
		stat, err := os.ReadFile("/proc/" + string(data) + "/stat")
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			return
		}
		// A zombie is dead; who inherits it may take its time.
		if _, after, ok := strings.Cut(string(stat), ") "); ok && strings.HasPrefix(after, "Z") {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// said fails unless err has the CNI code, 0 for none, and says the words.
func said(t *testing.T, err error, code uint, words ...string) {
	t.Helper()
	var cniErr *types.Error
	got := uint(0)
	if errors.As(err, &cniErr) {
		got = cniErr.Code
	}
	if err == nil || got != code {
		t.Errorf("got %v with code %d, want code %d", err, got, code)
		return
	}
	text := err.Error()
	if cniErr != nil {
		text = cniErr.Msg + "; " + cniErr.Details
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q does not say %q", text, w)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
